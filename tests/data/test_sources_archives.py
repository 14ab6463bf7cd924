import gzip
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from tasks.data.sources_archives import is_archive, read_members, split_pattern, unpacked
from tasks.errors import BadData
from tests.data.archives import write_archive

FILES = {"d/b.txt": b"two", "d/a.txt": b"one" * 999, "c.csv": b"x,y\n", ".hidden/e": b"-"}


def contents(archive: Path, pattern: str = "") -> dict[str, bytes]:
    return {name: b"".join(chunks) for name, chunks in read_members(archive, pattern)}


KINDS = ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.tar.bz2"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_archive_is_read(kind: str, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / kind, FILES)
    shown = {name: content for name, content in FILES.items() if name != ".hidden/e"}
    assert is_archive(archive)
    assert contents(archive) == shown
    assert contents(archive, "*.txt") == {name: FILES[name] for name in ("d/b.txt", "d/a.txt")}
    assert contents(archive, ".hidden/e") == {".hidden/e": b"-"}
    with unpacked(archive, "", tmp_path / "scratch") as members:
        assert {name: path.read_bytes() for name, path in members} == shown
        assert [name for name, _ in members] == ["c.csv", "d/a.txt", "d/b.txt"]
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_archive_is_told(kind: str, tmp_path: Path) -> None:
    files = {f"{number}.txt": os.urandom(2_000) for number in range(5)}
    archive = write_archive(tmp_path / kind, files)
    whole = archive.read_bytes()
    # Two empty blocks end a tar, and more fill it up; only a compressed file can miss these.
    end = len(whole) if kind != "a.tar" else 5 * 2560
    for length in range(1, end, 97):
        archive.write_bytes(whole[:length])
        if kind == "a.tar" and length % 2560 == 0:
            continue
        with pytest.raises(BadData, match="an intact archive"):
            contents(archive)


@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz"])
def test_a_damaged_header_does_not_pass_for_the_end_of_a_tar(kind: str, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "plain.tar", {"1.txt": b"1", "2.txt": b"2"})
    content = bytearray(archive.read_bytes())
    content[1024] ^= 1
    if kind == "a.tar.gz":
        content = bytearray(gzip.compress(content))
    (tmp_path / kind).write_bytes(content)
    with pytest.raises(BadData, match="bad header at byte 1024"):
        contents(tmp_path / kind)


def test_what_a_mac_and_a_folder_add_is_left_out(tmp_path: Path) -> None:
    names = ["__MACOSX/._a.csv", "a.csv", ".DS_Store", "_SUCCESS"]
    archive = write_archive(tmp_path / "a.zip", dict.fromkeys(names, b"x"))
    assert list(contents(archive)) == ["a.csv"]
    assert list(contents(archive, "*")) == ["a.csv", "_SUCCESS"]


@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
@pytest.mark.parametrize("name", ["../evil.csv", "a/../../evil.csv", "/tmp/evil.csv", "."])
def test_names_that_lead_out_are_refused(kind: str, name: str, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / kind, {name: b"x,y\n", "good.csv": b"x,y\n"})
    with (
        pytest.raises(BadData, match="stay inside the archive"),
        unpacked(archive, "good.csv", tmp_path / "scratch"),
    ):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == [kind]


def test_damaged_names_of_a_zip_are_told(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a.zip", {"ü.csv": b"x,y\n", "good.csv": b"x,y\n"})
    whole = archive.read_bytes()
    for damaged in (whole.replace("ü".encode(), b"\xff\xff", times) for times in (1, 2)):
        archive.write_bytes(damaged)
        with pytest.raises(BadData, match="an intact archive\n.*a file that is not UTF-8"):
            contents(archive)
    info = zipfile.ZipInfo("gone.csv")
    info.filename = ""
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(info, b"x,y\n")
    with pytest.raises(BadData, match="stay inside the archive"):
        contents(archive)


def test_links_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind in (("soft.csv", tarfile.SYMTYPE), ("hard.csv", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("soft.csv")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    for name, member in (("a.tar", "soft.csv"), ("a.tar", "hard.csv"), ("a.zip", "soft.csv")):
        with pytest.raises(BadData, match=rf"{name}!{member}\n.*a file\n.*a link"):
            contents(tmp_path / name, member)


def test_an_encrypted_file_is_told(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a.zip", {"a.csv": b"x,y\n"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag, before the content and in the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(BadData, match=r"a\.zip!a\.csv\n.*\n.*an encrypted one\n.*password"):
        contents(archive)


def test_an_unknown_compression_is_told(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a.zip", {"a.csv": b"x,y\n"})
    content = bytearray(archive.read_bytes())
    content[8] = content[content.index(b"PK\x01\x02") + 10] = 9  # Deflate64
    archive.write_bytes(content)
    with pytest.raises(BadData, match="compression method is not supported\n.*unpack it"):
        contents(archive)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a.zip!*.csv", ("a.zip", "*.csv")),
        ("x!/B.TAR.GZ!a!b.csv", ("x!/B.TAR.GZ", "a!b.csv")),
        ("data/*.tar.xz!*/pos/*", ("data/*.tar.xz", "*/pos/*")),
        ("a.zip", ("a.zip", "")),
        ("Hello!.csv", ("Hello!.csv", "")),
    ],
)
def test_the_pattern_stands_behind_the_archive(path: str, parts: tuple[str, str]) -> None:
    assert split_pattern(path) == parts
