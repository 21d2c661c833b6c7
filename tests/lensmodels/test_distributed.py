"""Several processes: two that share a batch learn what one learns from the whole."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

SCRIPT = Path(__file__).with_name("distributed_losses.py")

# without batch norms, which see the part of a process alone on CPUs
METHODS = ("supervised", "contrastive-rotation", "contrastive-noise", "dino")


def losses(archive, out, processes):
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    command = [sys.executable, *(launcher if processes > 1 else []), str(SCRIPT)]
    subprocess.run(
        [*command, str(archive), str(out), *METHODS],
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=250,
        capture_output=True,
    )
    return json.loads(out.read_text())


def test_two_processes_have_the_losses_of_one(lenses, tmp_path):
    one = losses(lenses, tmp_path / "one.json", 1)
    two = losses(lenses, tmp_path / "two.json", 2)
    for method in METHODS:
        assert len(one[method]) == len(two[method]) == 20
        assert two[method] == pytest.approx(one[method], abs=1e-4), method
        assert max(one[method]) - min(one[method]) > 0.01  # it did learn


def test_the_command_trains_on_two_processes_and_tests_every_image_once(lenses, tmp_path):
    words = ["--data", str(lenses), "--method", "byol", "--encoder", "test_vit"]
    words += ["--batch-size", "32", "--pretrain-epochs", "1", "--finetune-epochs", "1"]
    words += ["--device", "cpu", "--devices", "2", "--out", str(tmp_path / "run")]
    subprocess.run(
        [sys.executable, "-m", "lensmodels", "train", *words],
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=250,
        capture_output=True,
    )
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["n_test"] == 24
    assert len((tmp_path / "run" / "predictions.csv").read_text().splitlines()) == 25


def test_sigterm_of_one_process_stops_all(lenses, tmp_path):
    command = [sys.executable, "-m", "lensmodels", "pretrain", "--data", str(lenses)]
    command += ["--method", "byol", "--encoder", "test_vit", "--batch-size", "16"]
    command += ["--pretrain-epochs", "1000", "--device", "cpu", "--devices", "2"]
    command += ["--out", str(tmp_path / "run")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    ours = psutil.Process(process.pid)
    try:
        while not (tmp_path / "run" / "checkpoints" / "pretrain.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.1)
        (other,) = (each for each in ours.children(recursive=True) if "pretrain" in each.cmdline())
        other.send_signal(signal.SIGTERM)  # and the process that started it is not told
        _, messages = process.communicate(timeout=100)
        gone, _ = psutil.wait_procs([other], timeout=30)
    finally:
        for each in [*ours.children(recursive=True), ours] if process.poll() is None else []:
            each.kill()
    assert gone == [other]
    assert process.returncode == 1
    assert "Stopped " in messages
    assert "continue by --resume" in messages
    torch.load(tmp_path / "run" / "checkpoints" / "pretrain.ckpt", weights_only=True)
