"""Rows of a table on Ray: what an actor does, and with Ray itself where it is installed."""

from __future__ import annotations

import json
import sys
import tarfile
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pair_tables import lines, pictures, write_pairs

from midms import build, translate_pairs
from midms.data.pair_rows import read_pair_rows
from midms.pipeline.jobs.manifest import Share
from midms.pipeline.jobs.on_ray import RayError, Translating
from midms.pipeline.jobs.pair_work import PairWork

COUNT = 3


def test_an_actor_translates_the_rows_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, table, out = build("midm-faces"), write_pairs(tmp_path, COUNT), tmp_path / "actor"
    translate_pairs(pipe, table, tmp_path / "plain", batch=2)
    rows = read_pair_rows(table, Share().has).rows
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=lambda kept: kept))
    actor = Translating(pipe, PairWork(table.parent, out, None, None, 0, None, 2), "cpu")
    found = actor({"row": [json.dumps(row) for row in rows]})
    assert [json.loads(record) for record in found["record"]] == lines(tmp_path / "plain")
    assert pictures(out) == pictures(tmp_path / "plain") and len(pictures(out)) == COUNT
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RayError, match="is not installed"):
        translate_pairs(pipe, table, tmp_path / "none", ray="local")


def test_on_ray_the_results_are_the_same(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    pipe, table, threads = build("midm-faces"), write_pairs(tmp_path, COUNT), torch.get_num_threads()
    torch.set_num_threads(1)  # as actors have them, each with a processor
    translate_pairs(pipe, table, tmp_path / "plain", batch=2)
    torch.set_num_threads(threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert translate_pairs(pipe, table, tmp_path / "tar", batch=2, ray="local", shards=2).written == COUNT
        ray.shutdown()
    for path in (tmp_path / "tar").glob("*.tar"):
        with tarfile.open(path) as archive:
            archive.extractall(tmp_path / "ray", filter="data")
    assert pictures(tmp_path / "ray") == pictures(tmp_path / "plain")
