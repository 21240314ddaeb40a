"""Settings: where they come from, which place wins, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.worker.settings import Settings, SettingsError, describe

DAY = 86_400_000


def load(environment: dict[str, str] | None = None, config: Path | None = None, **flags: object) -> Settings:
    return Settings.load(config, flags, environment or {})


def refused(environment: dict[str, str] | None = None, config: Path | None = None, **flags: object) -> str:
    with pytest.raises(SettingsError) as raised:
        load(environment, config, **flags)
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_defaults_are_those_of_the_design() -> None:
    settings = load()
    assert settings.brokers == "127.0.0.1:9092"
    assert settings.group == "segment-engine"
    assert settings.input_topics == (
        "events.clicks",
        "events.purchases",
        "events.opt-outs",
        "events.messages",
        "events.contacts",
    )
    assert (settings.clock, settings.grace, settings.skew) == ("wall", 1_000, 300_000)
    assert (settings.dedup, settings.journal_retention) == (7 * DAY, 400 * DAY)
    assert (settings.segment_topics, settings.members_topic) == (True, True)
    assert settings.cache_bytes == 512 * 1024 * 1024


def test_the_benchmarks_environment_is_understood() -> None:
    settings = load(
        {
            "SEGMENT_ENGINE_BROKERS": "127.0.0.1:29092",
            "SEGMENT_ENGINE_GROUP": "bench-engine-1",
            "SEGMENT_ENGINE_DATA_DIR": "state/engine",
            "SEGMENT_ENGINE_INPUT_TOPICS": "bench.events",
            "SEGMENT_ENGINE_PARTITIONS": "4",
            "SEGMENT_ENGINE_HTTP_PORT": "29080",
            "SEGMENT_ENGINE_CLOCK": "events",
            "SEGMENT_ENGINE_GRACE": "PT0S",
            "SEGMENT_ENGINE_SEGMENT_TOPICS": "off",
            "SEGMENT_ENGINE_MEMBERS_TOPIC": "off",
        }
    )
    assert settings.input_topics == ("bench.events",)
    assert (settings.clock, settings.grace, settings.http_port) == ("events", 0, 29080)
    assert (settings.segment_topics, settings.members_topic) == (False, False)
    assert settings.data_dir == Path("state/engine")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.toml", 'partitions = 8\ngrace = "PT2S"\ngroup = "from-file"\ninput_topics = ["a", "b"]\n'),
        ("s.yaml", "PARTITIONS: 8\nGRACE: PT2S\nGROUP: from-file\nINPUT_TOPICS: a, b\n"),
        (
            "s.json",
            '{"SEGMENT_ENGINE_PARTITIONS": 8, "grace": "PT2S", "group": "from-file", "input-topics": ["a", "b"]}',
        ),
    ],
)
def test_flag_over_environment_over_file_over_default(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    environment = {"SEGMENT_ENGINE_GROUP": "from-environment", "SEGMENT_ENGINE_PARTITIONS": "16"}
    settings = load(environment, file, group="from-flag", brokers=None)
    assert settings.group == "from-flag"
    assert settings.partitions == 16
    assert settings.grace == 2_000
    assert settings.input_topics == ("a", "b")
    assert settings.skew == 300_000


def test_the_environment_can_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("partitions = 3", encoding="utf-8")
    assert load({"SEGMENT_ENGINE_CONFIG": str(file)}).partitions == 3


def test_an_empty_value_is_none_and_foreign_names_are_passed_over() -> None:
    settings = load(
        {"SEGMENT_ENGINE_GROUP": "", "SEGMENT_ENGINE_SERVICE_HOST": "10.0.0.1", "SEGMENT_ENGINE_PORT": "tcp"}
    )
    assert settings == Settings()


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("GRACE", "1s", "a duration from PT0S to PT1H"),
        ("GRACE", "P1M", "a duration from PT0S to PT1H"),
        ("GRACE", "PT2H", "a duration from PT0S to PT1H"),
        ("GRACE", "1000", "a duration from PT0S to PT1H"),
        ("PARTITIONS", "0", "a whole number from 1 to 4096"),
        ("PARTITIONS", "four", "a whole number from 1 to 4096"),
        ("CLOCK", "moon", "wall or events"),
        ("SEGMENT_TOPICS", "maybe", "on or off"),
        ("BROKERS", "kafka", "host:port"),
        ("GROUP", "a/b", "letters"),
        ("INPUT_TOPICS", ",", "topics with commas"),
        ("INPUT_TOPICS", "a,a", "different topics"),
        ("HTTP_PORT", "70000", "from 0 to 65535"),
        ("ADVERTISED_URL", "worker:80", "http://host:port"),
    ],
)
def test_a_wrong_value_names_the_variable_and_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    text = refused({f"SEGMENT_ENGINE_{variable}": value})
    assert text.startswith(f"SEGMENT_ENGINE_{variable} cannot be ")
    assert repr(value) in text or variable == "INPUT_TOPICS"
    assert allowed in text


def test_each_wrong_value_is_told_by_its_source(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("grace = 5\npartitions = 0", encoding="utf-8")
    text = refused({"SEGMENT_ENGINE_PARTITIONS": "0"}, file, http_port=-1)
    assert f"GRACE in {file} cannot be '5'" in text
    assert "SEGMENT_ENGINE_PARTITIONS cannot be '0'" in text
    assert "--http-port cannot be '-1'" in text


def test_a_misspelt_name_is_refused_with_the_right_one(tmp_path: Path) -> None:
    assert "SEGMENT_ENGINE_BROKERS?" in refused({"SEGMENT_ENGINE_BROKER": "127.0.0.1:9092"})
    file = tmp_path / "s.yaml"
    file.write_text("partition: 3", encoding="utf-8")
    assert "Did you mean PARTITIONS?" in refused(config=file)


@pytest.mark.parametrize(
    ("name", "text"), [("s.toml", "a ="), ("s.yaml", "a: [1"), ("s.yaml", "- 1"), ("s.ini", "a=1"), ("none.toml", None)]
)
def test_an_unreadable_file_is_one_paragraph(tmp_path: Path, name: str, text: str | None) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text, encoding="utf-8")
    assert str(file) in refused(config=file)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("# nothing yet\n", encoding="utf-8")
    assert load(config=file) == Settings()


def test_the_worker_is_known_by_host_and_port_unless_told() -> None:
    assert Settings(http_port=7000).member.endswith("-7000")
    assert Settings(worker_id="w1").member == "w1"
    assert Settings(http_port=7000).url == "http://127.0.0.1:7000"
    assert Settings(advertised_url="http://w1:80").url == "http://w1:80"


def test_every_setting_is_described_and_every_described_default_is_read_back() -> None:
    rows = list(describe())
    assert len(rows) == len(Settings.model_fields)
    assert all(allowed != "any text" and description for _, _, allowed, description in rows)
    assert load({variable: default for variable, default, _, _ in rows}) == Settings()
