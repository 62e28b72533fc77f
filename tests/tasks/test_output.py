"""A run's output replaces what Hone wrote, and nothing else; where it cannot be written is found before the work."""

import shutil
from pathlib import Path

import pytest

from hone.tasks import output
from hone.tasks.errors import OutputError


def publish(folder: Path, text: str = "1", model: bool = True) -> None:
    with output.writing(folder) as room:
        (room / "report.html").write_text(text)
        (room / "report.json").write_text(text)
        if model:
            (room / "model").mkdir()
            (room / "model" / "model.onnx").write_text(text)
            (room / "model" / f"only-{text}").write_text(text)


def tree(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def refused(folder: Path, message: str) -> None:
    """By check, before the work, and by the writing itself; and all that is there stays."""
    before = tree(folder) if folder.is_dir() else None
    for attempt in (lambda: output.check("r", str(folder)), lambda: publish(folder, "2")):
        with pytest.raises(OutputError, match=message):
            attempt()
    assert before is None or tree(folder) == before


def test_a_second_run_replaces_what_the_first_wrote_and_leaves_the_rest(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "model.retired-1").mkdir()
    for text in ("1", "2"):
        output.check("r", str(tmp_path))
        publish(tmp_path, text)
    assert {name: text for name, text in tree(tmp_path).items() if name != output.MARK} == {
        "notes.txt": "mine",
        "report.html": "2",
        "report.json": "2",
        "model/model.onnx": "2",
        "model/only-2": "2",
    }
    assert (tmp_path / "model.retired-1").is_dir()
    publish(tmp_path, "3", model=False)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", ["model/config.json", "report.html", "report.json/x", "model/empty/"])
def test_what_hone_did_not_write_is_named_and_left(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    if name.endswith("/"):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text("mine")
    refused(
        tmp_path,
        f"--output is {tmp_path}, which holds {name.partition('/')[0]}: files that Hone did not write there, and",
    )


@pytest.mark.parametrize("name", ["model/mine.txt", "model/model.onnx", "report.html"])
def test_what_somebody_added_or_changed_since_is_named_and_left(tmp_path: Path, name: str) -> None:
    publish(tmp_path)
    (tmp_path / name).write_text("mine")
    refused(tmp_path, f"holds {name}: files that Hone did not write there or that have changed since")


def test_a_link_in_place_of_the_model_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "weights").write_text("mine")
    out = tmp_path / "out"
    publish(out)
    shutil.rmtree(out / "model")
    (out / "model").symlink_to(tmp_path / "theirs")
    refused(out, "holds model: files that Hone did not write")
    assert tree(tmp_path / "theirs") == {"weights": "mine"}


def test_a_folder_that_is_a_link_to_an_empty_one_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    output.check("r", str(tmp_path / "out"))
    publish(tmp_path / "out")
    assert (tmp_path / "disk" / "model" / "model.onnx").is_file()


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nowhere").symlink_to("gone")
    for folder, message in {
        tmp_path / "file": f"{tmp_path}/file is not a folder",
        tmp_path / "file" / "below" / "it": f"{tmp_path}/file is not a folder",
        tmp_path / "nowhere": "a link to gone, which is not there",
        tmp_path / "nowhere" / "below": "is not a folder",
        Path("/proc/hone"): "/proc/hone, which cannot be written",
    }.items():
        with pytest.raises(OutputError, match=message):
            output.check("r", str(folder))
    assert not (tmp_path / "gone").exists()


def test_a_full_disk_is_told_before_the_work_and_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=10**7))
    with pytest.raises(OutputError, match="with 10 MB free, and a report with its model needs up to 200 MB: make room"):
        output.check("r", str(tmp_path))
    with (
        pytest.raises(OutputError, match="No space left on device: make room there, or name another"),
        output.writing(tmp_path / "out"),
        Path("/dev/full").open("w") as full,
    ):
        full.write("x")


def test_check_leaves_nothing_behind_and_makes_nothing(tmp_path: Path) -> None:
    assert "can be written" in output.check("r", str(tmp_path / "a" / "b"))
    assert not list(tmp_path.iterdir())


def test_a_run_that_died_while_it_wrote_leaves_nothing_that_the_next_does_not_mend(tmp_path: Path) -> None:
    publish(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_args, **_how: None)  # a killed process tidies nothing up
        writing = output.writing(tmp_path)
        writing.__enter__()
        assert not writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert len(list(tmp_path.glob(".hone-*"))) == 2
    output.check("r", str(tmp_path))
    publish(tmp_path, "2")
    assert [path.name for path in tmp_path.glob(".hone-*")] == [output.MARK]
    assert (tmp_path / "report.html").read_text() == "2"


def test_a_run_that_died_between_two_renames_may_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path)
    rename, renamed = Path.rename, []

    def dies(self: Path, target: Path) -> Path:
        renamed.append(target.name)
        if len(renamed) == 4:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", dies)
    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path, "2")
    monkeypatch.undo()
    output.check("r", str(tmp_path))
    publish(tmp_path, "3")
    assert tree(tmp_path)["model/model.onnx"] == "3"


def test_the_newest_run_is_found_and_none_overwrites_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ("a", "b"):
        output.check("demo", "")
        folder = output.folder_of("demo", "")
        publish(folder / run, run)
        output.point(folder / "latest", folder / run)
        assert Path("runs/demo/latest/report.html").read_text() == run
    assert Path("runs/demo/a/report.html").read_text() == "a"
    assert sorted(path.name for path in Path("runs/demo").iterdir()) == ["a", "b", "latest"]


def test_where_there_are_no_links_the_newest_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_arguments: object, **_how: object) -> None:
        raise OSError("no links")

    monkeypatch.setattr(Path, "symlink_to", no_links)
    monkeypatch.chdir(tmp_path)
    for run in ("a", "b"):
        output.check("demo", "")
        publish(tmp_path / "runs" / "demo" / run, run)
        output.point(tmp_path / "runs" / "demo" / "latest", tmp_path / "runs" / "demo" / run)
        assert Path("runs/demo/latest/model/model.onnx").read_text() == run


def test_a_latest_that_hone_did_not_make_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    latest = tmp_path / "runs" / "demo" / "latest"
    latest.mkdir(parents=True)
    with pytest.raises(OutputError, match="latest was not written by Hone"):
        output.check("demo", "")
    latest.rmdir()
    latest.symlink_to(tmp_path)
    with pytest.raises(OutputError, match=r"latest is a link to .*, which no run of Hone wrote"):
        output.check("demo", "")
