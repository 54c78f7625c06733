"""Keys: read exactly, refused clearly, shown nowhere."""

import os
import pickle
from pathlib import Path

import msgspec
import pytest

from mai.daemon.credentials import HIDDEN, CredentialFault, Credentials, Secret, directory_of, scrubbed

KEY = "sk-abc.DEF-123_="


def put(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a credential."""
    path.write_bytes(data)
    path.chmod(mode)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_key_is_read_to_the_byte(tmp_path: Path, end: str) -> None:
    """What is in the file is the key, without the end of its line."""
    put(tmp_path / "main", KEY.encode() + end.encode())
    assert Credentials(tmp_path).read("main").reveal() == KEY


def test_a_key_is_read_anew(tmp_path: Path) -> None:
    """A key that was replaced is found; both are struck out of texts from then on."""
    credentials = Credentials(tmp_path)
    put(tmp_path / "main", b"first-key")
    first = credentials.read("main")
    put(tmp_path / "main", b"other-key")
    assert credentials.read("main") != first
    assert credentials.scrub("first-key and other-key") == f"{HIDDEN} and {HIDDEN}"


@pytest.mark.parametrize("name", ["", "../main", "a/b", ".", "..", ".hidden", "a\0b", "a\n", "x" * 200])
def test_a_name_stays_in_the_directory(tmp_path: Path, name: str) -> None:
    """A name that could lead elsewhere is none."""
    put(tmp_path / "main", KEY.encode())
    (tmp_path / "sub").mkdir()
    with pytest.raises(CredentialFault, match="is none"):
        Credentials(tmp_path / "sub").read(name)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o602, 0o601])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    """A file with rights for anyone but its owner is refused, with what to do."""
    put(tmp_path / "main", KEY.encode(), mode)
    with pytest.raises(CredentialFault, match="others") as found:
        Credentials(tmp_path).read("main")
    assert found.value.hint == f"chmod 600 {tmp_path / 'main'}"


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"two\nlines", b" spaced ", b"\xc3\xa4", b"tab\tbed", b"\xef\xbb\xbfsk", b"x" * 20_000]
)
def test_what_is_no_key_is_refused(tmp_path: Path, data: bytes) -> None:
    """What is empty, long, or could not be in a header is no key; it is not quoted."""
    put(tmp_path / "main", data)
    with pytest.raises(CredentialFault) as found:
        Credentials(tmp_path).read("main")
    words = data.decode(errors="replace").strip()
    assert not words or words not in found.value.sentence + found.value.hint


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A directory, a FIFO, a device and nothing at all are refused at once, by name."""
    (tmp_path / "dir").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "device").symlink_to("/dev/null")
    for name in ("dir", "fifo", "device", "missing"):
        with pytest.raises(CredentialFault, match=f"the credential {name} "):
            Credentials(tmp_path).read(name)


def test_a_secret_shows_itself_nowhere() -> None:
    """Neither print, format, nor an encoder gets at a key."""
    secret = Secret(KEY)
    assert KEY not in f"{secret} {secret!r} {[secret]} {vars() | {'secret': secret}!r}"
    for write in (msgspec.json.encode, msgspec.msgpack.encode, pickle.dumps):
        with pytest.raises(TypeError):
            write(secret)


def test_keys_are_struck_out() -> None:
    """Each key goes, also one that holds another; what is too short to be one stays."""
    secrets = [Secret("abcd"), Secret("abcdefgh"), Secret("e")]
    assert scrubbed("the keys abcdefgh, abcd", secrets) == f"the keys {HIDDEN}, {HIDDEN}"


def test_where_keys_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's directory comes first, then the operator's, then the one in the state directory."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("MAI_CREDENTIALS", raising=False)
    assert directory_of(tmp_path) == tmp_path / "credentials"
    monkeypatch.setenv("MAI_CREDENTIALS", str(tmp_path / "own"))
    assert directory_of(tmp_path) == tmp_path / "own"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "systemd"))
    assert directory_of(tmp_path) == tmp_path / "systemd"
