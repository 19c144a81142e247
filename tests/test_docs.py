"""The documentation says what is so: paths, commands, examples, generated pages."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.processes import CONFIG_EXIT
from cli.settings import Settings, load_settings
from contract import messages
from contract.profile import ProfileLibrary
from contract.site import load_site
from contract.topics import DOWN, UP
from docs import generate, pictures
from edge_agents.outbox import FILE as OUTBOX
from gateway.ledger.store import FILE as LEDGER

ROOT = Path(__file__).resolve().parent.parent
README, README_ZH = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = sorted([README, README_ZH, ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])
PAGES += sorted(ROOT.glob("deploy/*/README.md"))
TOP_FOLDERS = "bench|cli|contract|deploy|docs|edge_agents|firmware_stubs|gateway|rules|simulators|tests"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def _ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def _commands(page: Path) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    lines = "\n".join(blocks).splitlines()
    return [command for line in lines if (command := line.partition("#")[0].strip())]


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_links_lead_somewhere_when_they_are_local(page: Path) -> None:
    """Every local link of every page names a file or folder that exists."""
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_named_paths_exist_when_they_start_with_a_folder_of_ours(page: Path) -> None:
    """Every `folder/...` in code marks exists, or is made at set-up and ignored by git."""
    made_at_setup = ("gateway/web/static/vendor",)
    named = re.findall(rf"`((?:{TOP_FOLDERS})/[\w./-]*)`", page.read_text("utf-8"))
    assert [path for path in named if not (ROOT / path).exists() and not path.startswith(made_at_setup)] == []


def test_both_readmes_show_the_same_commands_when_read_side_by_side() -> None:
    """The Chinese and the English page show the same commands in the same order."""
    assert _commands(README_ZH) == _commands(README)
    assert "make demo" in _commands(README)


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_make_verbs_exist_when_a_page_names_them(page: Path) -> None:
    """Every `make VERB` of a page is a target of the Makefile."""
    text = page.read_text("utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert named - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_weizhan_commands_exist_when_a_page_names_them(page: Path) -> None:
    """Every `weizhan COMMAND` and option a page shows is known to the command line."""
    groups = (
        "edge|gateway|sim|web|history|audit|ledger|export|readiness|line|panel|gb26875|rules lab|rules golden|rules"
    )
    shown = re.findall(rf"(?:^|bin/)weizhan ((?:{groups}) \w+|\w+)([^`\n]*)", _code(page), re.MULTILINE)
    problems = []
    for command, rest in shown:
        text = _help(command)
        if text is None:
            problems.append(command)
            continue
        options = re.findall(r"(?<![\w-])(--[a-z-]+)", rest.partition("#")[0])
        problems += [f"{command} {option}" for option in options if option not in text]
    assert problems == []


def _code(page: Path) -> str:
    """The code of a page: fenced blocks that a shell would run, and code marks that start with the command."""
    text = page.read_text("utf-8")
    fenced = re.findall(r"```(?:sh)?\n(.*?)```", text, re.DOTALL)
    marks = re.findall(r"`(weizhan [a-z][^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return "\n".join([*fenced, *marks])


_HELP: dict[str, str | None] = {}


def _help(command: str) -> str | None:
    """The help text of a command, None when there is no such command."""
    if command not in _HELP:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *command.split(), "--help"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        _HELP[command] = done.stdout if done.returncode == 0 else None
    return _HELP[command]


DECODERS: dict[str, Callable[[bytes], Any]] = {
    "batch": messages.decode_batch,
    "receipt": messages.decode_receipt,
    "state": messages.decode_state,
    "request": messages.decode_request,
}


def test_wire_examples_decode_when_taken_from_the_page() -> None:
    """Every example of docs/wire.md is a message of the type it is shown for, and each type has one."""
    examples = _wire_examples()
    for kind, text in examples:
        DECODERS[kind](text.encode())
    assert {kind for kind, _ in examples} == set(DECODERS)


def test_wire_examples_have_no_foreign_key_when_compared_with_the_types() -> None:
    """No example shows a key the message type does not have (a decoder would pass it over in silence)."""
    fields = {
        "batch": messages.Batch.__struct_fields__,
        "receipt": messages.Receipt.__struct_fields__,
        "state": messages.AgentState.__struct_fields__,
        "request": messages.Request.__struct_fields__,
    }
    strange = [(kind, key) for kind, text in _wire_examples() for key in _keys(text) if key not in fields[kind]]
    assert strange == []


def _wire_examples() -> list[tuple[str, str]]:
    text = (ROOT / "docs/wire.md").read_text("utf-8")
    found = re.findall(r"<!-- example: (\w+) -->\n```json\n(.*?)```", text, re.DOTALL)
    assert len(found) == text.count("```json"), "a JSON block without `<!-- example: TYPE -->`"
    return found


def _keys(text: str) -> list[str]:
    return list(json.loads(text))


def test_wire_page_names_every_topic_when_compared_with_the_contract() -> None:
    """docs/wire.md lists each channel of contract/topics.py."""
    text = (ROOT / "docs/wire.md").read_text("utf-8")
    assert [channel for channel in UP + DOWN if f"weizhan/v1/{{site}}/{{agent}}/{channel}`" not in text] == []


def test_generated_pages_are_fresh_when_models_and_profiles_stand_as_they_do() -> None:
    """`make docs` would change nothing."""
    stale = [str(path) for path, text in generate.pages().items() if path.read_text("utf-8") != text]
    assert stale == [], "run `make docs`"


def test_every_setting_has_a_meaning_when_shown_on_the_page() -> None:
    """No key of the configuration is without a docstring."""
    sections = [model for field in Settings.model_fields.values() for model in generate.members(field.annotation)]
    bare = [f"{model.__name__}.{row.name}" for model in sections for row in generate.rows(model) if not row.text]
    assert bare == []


def test_sample_configuration_loads_when_copied_as_it_is() -> None:
    """deploy/weizhan.yaml fits the settings models and names the sample site and an agent of it."""
    settings = load_settings(ROOT / "deploy/weizhan.yaml")
    assert settings.agent is not None
    assert settings.gateway is not None
    site = load_site(settings.agent.site_file, ProfileLibrary())
    assert site.agent(settings.agent.agent_id) is not None


def test_sample_configuration_still_loads_when_every_default_is_written_out(tmp_path: Path) -> None:
    """A commented key of the sample is right when its mark is taken off (the first variant of a union)."""
    text = (ROOT / "deploy/weizhan.yaml").read_text("utf-8")
    first = re.sub(r"\n# or\n(?:#.*\n?)*", "\n", text)
    live = re.sub(r"^# ( *[a-z_]+:( |$))", r"\1", first, flags=re.MULTILINE)
    live = re.sub(r"^#( +[a-z_]+: )", r"\1", live, flags=re.MULTILINE)
    path = tmp_path / "weizhan.yaml"
    path.write_text(live.replace("site.yaml", str(ROOT / "deploy/site.yaml")), "utf-8")
    load_settings(path)


def test_dependencies_page_has_a_line_when_pyproject_has_a_dependency() -> None:
    """Each direct dependency, of run time and development, has its reason; no line is left over."""
    named = [*PROJECT["dependencies"], *(dep for deps in PROJECT["optional-dependencies"].values() for dep in deps)]
    wanted = {re.split(r"[<>=!\[ ;]", name)[0].lower() for name in named}
    page = (ROOT / "docs/dependencies.md").read_text("utf-8").partition("## Real parts")[0]
    lines = {name.lower() for name in re.findall(r"^\| `([\w.-]+)` \|", page, re.MULTILINE)}
    assert lines == wanted


def test_dependencies_page_names_every_debian_package_when_parts_are_probed() -> None:
    """Each package deploy/parts.sh may install stands on the page."""
    script = (ROOT / "deploy/parts.sh").read_text("utf-8")
    packages = re.search(r"^PARTS=\((.*?)\)", script, re.DOTALL | re.MULTILINE)
    assert packages is not None
    page = (ROOT / "docs/dependencies.md").read_text("utf-8")
    assert [name for name in packages[1].split() if f"`{name}`" not in page] == []


def test_log_lines_are_explained_when_the_code_warns() -> None:
    """Each warning or error agent, gateway and pages can log has its row in docs/operations.md."""
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    found = [line for folder in ("edge_agents", "gateway") for line in _warnings(ROOT / folder)]
    assert [line for line in found if f"| `{line}` |" not in page] == []
    assert len(found) > 5


def _warnings(folder: Path) -> list[str]:
    """The wording of every warning below a folder, with … for what is filled in; bare placeholders are left out."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            form = node.args[0]
            loud = node.func.attr in ("warning", "error", "exception", "critical")
            if loud and isinstance(form, ast.Constant) and isinstance(form.value, str) and form.value != "%s":
                found.append(re.sub(r"%[.0-9]*[a-z]", "…", form.value))
    return found


def test_file_names_are_right_when_operations_lists_them() -> None:
    """The ledger and the outbox are called on the page what the code calls them."""
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    assert f"/{LEDGER}`" in page
    assert f"/{OUTBOX}`" in page


def test_changelog_has_the_version_when_pyproject_names_one() -> None:
    """The version of pyproject.toml has its entry in the changelog."""
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_decisions_are_numbered_without_holes_when_listed() -> None:
    """Decisions count 001, 002, ... and each has context, decision and consequence."""
    paths = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [path.name[:3] for path in paths] == [f"{number:03d}" for number in range(1, len(paths) + 1)]
    for path in paths:
        text = path.read_text("utf-8")
        assert [word for word in ("**Context.**", "**Decision.**", "**Consequence.**") if word not in text] == []


def test_real_parts_are_named_when_missing_and_not_root(tmp_path: Path) -> None:
    """Without root, `parts.sh install` names the missing packages and the command that installs them, and goes on."""
    for tool in ("bash", "dirname", "find", "printf"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    (tmp_path / "id").write_text("#!/bin/bash\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    done = subprocess.run(
        [ROOT / "deploy/parts.sh", "install"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    assert "got no gcc" in done.stderr
    assert "sudo apt-get install --no-install-recommends gcc" in done.stderr
    assert " mbpoll " in done.stderr


UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=_ids(UNITS))
def test_units_are_hardened_and_start_a_command_when_installed(unit: Path) -> None:
    """Each unit runs a command that exists, not as root, with the file system read-only and no capability."""
    keys = dict(re.findall(r"^(\w+)=(.*)$", unit.read_text("utf-8"), re.MULTILINE))
    command = re.search(r"/weizhan (\w+ run) --config ", keys["ExecStart"])
    assert command is not None
    assert "--config" in (_help(command[1]) or "")
    assert keys["User"] not in ("", "root")
    wanted = {"ProtectSystem": "strict", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "UMask": "0077"}
    assert {key: keys.get(key) for key in wanted} == wanted
    assert keys["RestartPreventExitStatus"] == str(CONFIG_EXIT)


def test_every_picture_of_the_design_is_taken_by_the_command_and_shown() -> None:
    """docs/pictures holds what docs/pictures.py takes and docs/design.md shows, and nothing else."""
    taken = {shot.name for shot in (*pictures.IN_FIRE, *pictures.AFTER)}
    shown = set(re.findall(r"\(pictures/([\w-]+)\.png\)", (ROOT / "docs/design.md").read_text("utf-8")))
    kept = {path.stem for path in (ROOT / "docs/pictures").glob("*.png")}
    assert (shown, kept) == (taken, taken)
