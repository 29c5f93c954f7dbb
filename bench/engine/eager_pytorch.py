#!/usr/bin/env python3
"""The bench's models as one writes them in eager PyTorch, timed on one thread.

usage: eager_pytorch.py [--seconds S] [--engine FILE] [--device cpu|cuda]

FILE is what engine_bench wrote: its steps are then set beside these. Run both with the same BLAS kernel
(OPENBLAS_CORETYPE); run.sh does. On a GPU it times the default model alone, as one process per run would train it, by wall
time, and sets engine_bench's packs beside it in runs an hour.
"""

import argparse
import json
import time

import torch
from torch import nn

MODULUS = 97
UPDATES_OF_A_RUN = 10000
TRAIN_PAIRS = 1882


class Mlp(nn.Module):
    def __init__(self, depth, width, symbols=MODULUS):
        super().__init__()
        self.embedding = nn.Embedding(symbols, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.output = nn.Linear(width, symbols)

    def forward(self, pairs):
        h = self.embedding(pairs).sum(1)
        for layer in self.layers:
            h = nn.functional.gelu(layer(h))
        return self.output(h)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)

    def forward(self, h):
        return h + 0.5 * self.linear2(nn.functional.gelu(self.linear1(self.norm(h))))


class ResidualMlp(nn.Module):
    def __init__(self, depth, width):
        super().__init__()
        self.embedding = nn.Embedding(MODULUS, width)
        self.layers = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.output = nn.Linear(width, MODULUS)

    def forward(self, pairs):
        return self.output(self.layers(self.embedding(pairs).sum(1)))


class Transformer(nn.Module):
    def __init__(self, width=512, heads=4):
        super().__init__()
        self.embedding = nn.Embedding(MODULUS, width)
        self.positions = nn.Parameter(0.02 * torch.randn(2, width))
        self.layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.output = nn.Linear(width, MODULUS)

    def forward(self, pairs):
        return self.output(self.layer(self.embedding(pairs) + self.positions).mean(1))


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9, weight_decay=2e-3)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1.0)


# By the names that engine_bench has for them: model, optimiser, norm that gradients are clipped to.
CASES = {
    "mlp d2 w256": (lambda: Mlp(2, 256), sgd, None),
    "mlp d4 w512": (lambda: Mlp(4, 512), sgd, None),
    "residual_mlp d8 w512": (lambda: ResidualMlp(8, 512), sgd, 1.0),
    "transformer d512": (Transformer, adamw, 1.0),
}


def best_step(make_model, make_optimizer, clip_norm, seconds):
    """The least CPU seconds of a step."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(MODULUS * MODULUS, generator=generator)[:TRAIN_PAIRS]
    pairs = torch.stack([chosen // MODULUS, chosen % MODULUS], 1)
    labels = pairs.sum(1) % MODULUS
    model = make_model()
    optimizer = make_optimizer(model)
    times = []
    start = time.thread_time()
    while len(times) < 6 or time.thread_time() - start < seconds:
        before = time.thread_time()
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(pairs), labels).backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        times.append(time.thread_time() - before)
    return min(times[2:])


def gpu_step(seconds):
    """The least wall seconds of a step of mlp d2 w256 on the GPU, over ten at once."""
    make_model, make_optimizer, _ = CASES["mlp d2 w256"]
    chosen = torch.randperm(MODULUS * MODULUS)[:TRAIN_PAIRS].cuda()
    pairs = torch.stack([chosen // MODULUS, chosen % MODULUS], 1)
    labels = pairs.sum(1) % MODULUS
    model = make_model().cuda()
    optimizer = make_optimizer(model)
    times = []
    start = time.perf_counter()
    while len(times) < 6 or time.perf_counter() - start < seconds:
        torch.cuda.synchronize()
        before = time.perf_counter()
        for _ in range(10):
            optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(model(pairs), labels)
            loss.backward()
            optimizer.step()
            loss.item()  # each step's loss is looked at, as the engine does
        torch.cuda.synchronize()
        times.append((time.perf_counter() - before) / 10)
    return min(times[2:])


def report_gpu(seconds, engine_file):
    step = gpu_step(seconds)
    runs = 3600 / (step * UPDATES_OF_A_RUN)
    print(f"eager PyTorch {torch.__version__} on {torch.cuda.get_device_name()}, one process: step {step * 1e3:.3f} ms, "
          f"{runs:.1f} runs of {UPDATES_OF_A_RUN} updates an hour")
    if not engine_file:
        return
    with open(engine_file, encoding="utf-8") as file:
        packs = [case for case in json.load(file) if case["implementation"] == "stacked"]
    for pack in packs:
        print(f"  a pack of {pack['replicas']:3} (products {pack['matmul_precision']}): {pack['runs_per_hour']:.1f} runs an "
              f"hour, {pack['runs_per_hour'] / runs:.1f} times as many")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--engine", help="figures that engine_bench wrote")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    if arguments.device == "cuda":
        report_gpu(arguments.seconds, arguments.engine)
        return
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    engine = {}
    if arguments.engine:
        with open(arguments.engine, encoding="utf-8") as file:
            engine = {case["name"]: case for case in json.load(file) if case["implementation"] == "auto"}
    product = torch.rand(1024, 1024)
    rates = []
    for _ in range(40):
        before = time.thread_time()
        product @ product
        rates.append(2 * 1024**3 / (time.thread_time() - before))
    print(f"PyTorch {torch.__version__}, float32 product 1024 x 1024 x 1024: {max(rates) * 1e-9:.1f} GFLOP/s")
    for name, case in CASES.items():
        step = best_step(*case, arguments.seconds)
        beside = ""
        if name in engine:
            ours = engine[name]["step_seconds"]
            beside = f", seedbed-engine {ours * 1e3:.2f} ms: {step / ours:.2f} times faster"
        print(f"{name:24} eager PyTorch {step * 1e3:8.2f} ms{beside}", flush=True)


if __name__ == "__main__":
    main()
