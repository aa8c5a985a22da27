"""Free memory: the host's, and what a container's control groups leave of it."""

import jax
import pytest

from aerec import memory

GIB = 2**30


@pytest.fixture
def system(tmp_path):
    """Makes a root folder of these files; 100 GiB are free on the host."""

    def make(cgroup, files):
        files |= {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 104857600 kB\n"}
        for name, content in (files | {"proc/self/cgroup": cgroup}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{content}\n")
        return memory.available(tmp_path)

    return make


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="an accelerator has its own memory")
@pytest.mark.parametrize(
    ("cgroup", "files", "gib"),
    [
        ("0::/", {}, 100),
        ("0::/", {"sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/memory.current": GIB}, 100),
        ("0::/a/b", {"sys/fs/cgroup/a/b/memory.max": 8 * GIB,
                     "sys/fs/cgroup/a/b/memory.current": 3 * GIB}, 5),
        ("0::/a/b", {"sys/fs/cgroup/a/b/memory.max": 8 * GIB,
                     "sys/fs/cgroup/a/b/memory.current": 3 * GIB,
                     "sys/fs/cgroup/a/b/memory.stat": f"anon 5\ninactive_file {2 * GIB}"}, 7),
        ("0::/a/b", {"sys/fs/cgroup/a/b/memory.max": "max",
                     "sys/fs/cgroup/a/b/memory.current": 0,
                     "sys/fs/cgroup/a/memory.max": 4 * GIB,
                     "sys/fs/cgroup/a/memory.current": 3 * GIB}, 1),
        ("0::/gone", {"sys/fs/cgroup/memory.max": 2 * GIB,
                      "sys/fs/cgroup/memory.current": 3 * GIB}, 0),
        ("5:cpu:/x\n4:memory,pids:/x:y\n0::/",
         {"sys/fs/cgroup/memory/x:y/memory.limit_in_bytes": 6 * GIB,
          "sys/fs/cgroup/memory/x:y/memory.usage_in_bytes": 5 * GIB,
          "sys/fs/cgroup/memory/x:y/memory.stat": f"total_inactive_file {2 * GIB}",
          "sys/fs/cgroup/memory/memory.limit_in_bytes": 2**63 - 4096,
          "sys/fs/cgroup/memory/memory.usage_in_bytes": 50 * GIB}, 3),
    ],
)  # fmt: skip
def test_the_tightest_limit_counts(system, cgroup, files, gib):
    assert system(cgroup, files) == gib * GIB


def test_of_a_system_that_says_nothing_it_is_all_the_ram(tmp_path):
    assert memory.available(tmp_path) >= memory.available() > 0


def test_a_refusal_has_the_sizes_and_the_way_out(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 3 * GIB)
    memory.require(3 * GIB, "It", "take less")
    with pytest.raises(memory.TooLarge, match=r"It needs 4.5 GiB and 3.0 GiB are free; take less"):
        memory.require(9 * GIB // 2, "It", "take less")
