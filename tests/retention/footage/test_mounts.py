from __future__ import annotations

from pathlib import Path

import pytest

from retention.footage.mounts import is_network, kind_of_file_system

LINE = "36 35 98:0 / {point} rw,noatime master:1 - {kind} /dev/root rw,errors=continue\n"


def mounts(tmp_path: Path, **points: str) -> Path:
    """Write a mountinfo; the names of the points lie under the test's folder."""
    text = LINE.format(point="/", kind="ext4")
    for name, kind in points.items():
        point = str(tmp_path / name.replace("_", " ")).replace(" ", "\\040")
        text += LINE.format(point=point, kind=kind)
    path = tmp_path / "mountinfo"
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.s3fs", "fuse"])
def test_folder_on_a_network_mount_is_told(tmp_path, kind):
    table = mounts(tmp_path, share=kind)
    assert is_network(tmp_path / "share" / "footage", table)
    assert not is_network(tmp_path / "elsewhere", table)
    assert not is_network(tmp_path / "shared", table)  # not below it, only beginning alike


def test_deepest_and_latest_mount_decides(tmp_path):
    table = mounts(tmp_path, disk="xfs")
    table.write_text(table.read_text() + LINE.format(point=tmp_path / "disk", kind="nfs4"))
    assert kind_of_file_system(tmp_path / "disk" / "footage", table) == "nfs4"
    assert kind_of_file_system(tmp_path, table) == "ext4"


def test_mount_point_with_a_space_is_read(tmp_path):
    assert is_network(tmp_path / "my disk" / "x", mounts(tmp_path, my_disk="fuse.sshfs"))


def test_link_is_followed_to_the_disk_it_leads_to(tmp_path):
    (tmp_path / "share").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "share")
    assert is_network(tmp_path / "link", mounts(tmp_path, share="cifs"))


def test_root_of_a_container_is_local(tmp_path):
    assert not is_network(tmp_path / "layer", mounts(tmp_path, layer="fuse.fuse-overlayfs"))


def test_this_machine_has_a_file_system(tmp_path):
    assert kind_of_file_system(tmp_path) != ""
