"""Which kind of file system a folder lies on.

Sealed means durable only where fsync reaches a disk of this machine. On a network mount, or on one
that a user program serves, it reaches whatever the other side makes of it; footage is not written
there.
"""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = "nfs nfs4 cifs smb2 smb3 smbfs ncpfs afs ceph lustre glusterfs beegfs pvfs2 davfs coda"
NETWORK = frozenset(_NETWORK.split()) | {"fuse"}
"""`fuse.` and what follows it counts too (sshfs, s3fs, rclone, …), but for LOCAL_FUSE."""
LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs"})
"""A container's own root: files of this machine."""
_OCTAL = re.compile(r"\\([0-7]{3})")


def is_network(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Tell whether writes to a folder leave this machine, or end in a user program."""
    kind = kind_of_file_system(folder, mounts)
    return kind in NETWORK or (kind.startswith("fuse.") and kind not in LOCAL_FUSE)


def kind_of_file_system(folder: Path, mounts: Path = MOUNTS) -> str:
    """Return the type of the mount that a folder lies on (proc(5), mountinfo), "" if unknown."""
    place, found, depth = folder.resolve(), "", -1
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields, _, rest = line.partition(" - ")
        point = Path(_OCTAL.sub(lambda code: chr(int(code[1], 8)), fields.split(" ")[4]))
        # A later line lies over an earlier one of the same mount point.
        if place.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = rest.split(" ")[0], len(point.parts)
    return found
