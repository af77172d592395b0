from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from retention.footage.volume import VolumeRefused, open_volume
from retention.records.ids import SeededIds
from retention.store.database import NodeStore


def test_fresh_volume_is_named_once_even_by_many_at_once(store, root):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: open_volume(root, store).volume, range(8)))
    assert len(set(found)) == 1
    assert [entry.name for entry in root.iterdir()] == ["volume.json"]


def test_volume_of_another_database_is_refused_and_untouched(store, root, tmp_path, clock):
    open_volume(root, store)
    before = (root / "volume.json").read_bytes()
    other = NodeStore(tmp_path / "other.sqlite3", store.identity, clock, SeededIds(9))
    with pytest.raises(VolumeRefused, match="belongs to"):
        open_volume(root, other)
    other.close()
    assert (root / "volume.json").read_bytes() == before


def test_missing_disk_is_not_taken_for_an_empty_one(camera, store, root):
    open_volume(root, store)
    camera.record()
    shutil.rmtree(root)
    with pytest.raises(VolumeRefused, match="missing"):
        open_volume(root, store)
    assert not root.exists()
    root.mkdir()  # the empty mount point
    with pytest.raises(VolumeRefused, match="missing"):
        open_volume(root, store)
    assert not any(root.iterdir())


def test_folder_with_foreign_files_is_not_written_to(store, root):
    root.mkdir()
    (root / "photos").mkdir()
    with pytest.raises(VolumeRefused, match="photos"):
        open_volume(root, store)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2}', ""])
def test_unreadable_identity_is_refused(store, root, content):
    root.mkdir()
    (root / "volume.json").write_text(content)
    with pytest.raises(VolumeRefused):
        open_volume(root, store)
