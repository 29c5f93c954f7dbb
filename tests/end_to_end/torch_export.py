"""An exported checkpoint, opened by PyTorch as a user would: the logits of an nn.Module with the exported weights give the losses and
accuracies that the engine measured. Skipped where Python has no torch."""

import json
import math
import os
import subprocess
import sys
import tempfile
import unittest

try:
    import torch
    from torch import nn
except ImportError:
    # Debian's PyTorch belongs to Debian's Python, which need not be the first on the path.
    debians = "/usr/bin/python3"
    if os.path.realpath(sys.executable) != os.path.realpath(debians) and os.path.exists(debians):
        os.execv(debians, [debians, "-B", *sys.argv])
    print("skipped: this Python has no torch")
    sys.exit(77)  # ctest: SKIP_RETURN_CODE

ENGINE = os.path.join(os.environ["SEEDBED_BIN"], "seedbed-engine")
SYMBOLS = 23
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "gelu": nn.functional.gelu}


class Mlp(nn.Module):
    def __init__(self, width, depth, activation):
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, width)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.output = nn.Linear(width, SYMBOLS)
        self.activation = ACTIVATIONS[activation]

    def forward(self, a, b):
        h = self.embedding(a) + self.embedding(b)
        for layer in self.layers:
            h = self.activation(layer(h))
        return self.output(h)


class Block(nn.Module):
    def __init__(self, width, inner_width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, inner_width)
        self.linear2 = nn.Linear(inner_width, width)

    def forward(self, h):
        return h + 0.5 * self.linear2(nn.functional.gelu(self.linear1(self.norm(h))))


class ResidualMlp(nn.Module):
    def __init__(self, width, depth, inner_width):
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, width)
        self.layers = nn.ModuleList([Block(width, inner_width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, SYMBOLS)

    def forward(self, a, b):
        h = self.embedding(a) + self.embedding(b)
        for layer in self.layers:
            h = layer(h)
        return self.output(self.norm(h))


class Transformer(nn.Module):
    def __init__(self, width, depth, heads, equals_token=False, causal=False, norm_first=True, last=False):
        super().__init__()
        self.length = 3 if equals_token else 2
        self.causal = causal
        self.last = last
        self.embedding = nn.Embedding(SYMBOLS + (1 if equals_token else 0), width)
        self.positions = nn.Embedding(self.length, width)
        self.layers = nn.ModuleList([
            nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0, activation="gelu", batch_first=True,
                                       norm_first=norm_first)
            for _ in range(depth)
        ])
        self.output = nn.Linear(width, SYMBOLS)

    def forward(self, a, b):
        tokens = torch.stack([a, b, torch.full_like(a, SYMBOLS)][:self.length], 1)
        h = self.embedding(tokens) + self.positions.weight
        later = torch.ones(self.length, self.length, dtype=torch.bool).triu(1) if self.causal else None
        for layer in self.layers:
            h = layer(h, src_mask=later)
        return self.output(h[:, -1] if self.last else h.mean(1))


class TorchExport(unittest.TestCase):
    def train(self, parameters):
        """Trains for a while; returns the last row and the exported tensors."""
        arguments = [ENGINE, "train", "--steps", "60", "--checkpoint", "run.sbc"]
        for name, value in parameters.items():
            arguments += ["--set", f"{name}={value}"]
        lines = subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=self.directory).stdout
        row = {}
        for message in map(json.loads, lines.splitlines()):
            if message["type"] == "metrics":
                row.update((name, values[-1]) for name, values in message["values"].items())
        subprocess.run([ENGINE, "export", "run.sbc", "weights.pt"], check=True, cwd=self.directory)
        return row, torch.load(os.path.join(self.directory, "weights.pt"), weights_only=True)

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def check(self, model, parameters):
        """All p² pairs are trained on or tested, so the sums over both do not depend on the split."""
        row, tensors = self.train({"task.modulus": SYMBOLS, "task.train_fraction": 0.4, **parameters})
        self.assertIs(type(tensors), dict)
        for name, tensor in tensors.items():
            storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()
            self.assertEqual(storage.nbytes(), tensor.numel() * tensor.element_size(), name)
        model = model.to(next(iter(tensors.values())).dtype)
        model.load_state_dict(tensors, strict=True)
        a, b = (index.flatten() for index in torch.meshgrid(torch.arange(SYMBOLS), torch.arange(SYMBOLS), indexing="ij"))
        labels = (a + b) % SYMBOLS
        with torch.no_grad():
            logits = model(a, b).double()
        pairs = SYMBOLS * SYMBOLS
        trained = round(0.4 * pairs)
        loss = nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        measured = trained * row["train_loss"] + (pairs - trained) * row["test_loss"]
        self.assertTrue(math.isclose(loss, measured, rel_tol=1e-5), (loss, measured))
        correct = (logits.argmax(-1) == labels).sum().item()
        self.assertEqual(correct, round(trained * row["train_accuracy"] + (pairs - trained) * row["test_accuracy"]))

    def test_mlp(self):
        for activation in ACTIVATIONS:
            for precision in ("float32", "float64"):
                with self.subTest(activation=activation, precision=precision):
                    self.check(Mlp(32, 2, activation), {"model.width": 32, "model.depth": 2, "precision": precision,
                                                        "model.activation": activation, "optimizer.learning_rate": 0.1})

    def test_residual_mlp(self):
        self.check(ResidualMlp(32, 2, 48), {"model.kind": "residual_mlp", "model.width": 32, "model.depth": 2,
                                            "model.inner_width": 48, "model.final_norm": "true",
                                            "optimizer.learning_rate": 0.1})

    def test_transformer(self):
        common = {"model.kind": "transformer", "model.width": 32, "model.heads": 4, "optimizer.kind": "adamw"}
        self.check(Transformer(32, 2, 4), {**common, "model.depth": 2})
        self.check(Transformer(32, 1, 4, equals_token=True, causal=True, norm_first=False, last=True),
                   {**common, "model.depth": 1, "model.equals_token": "true", "model.causal": "true", "model.norm": "post",
                    "model.readout": "last"})


if __name__ == "__main__":
    unittest.main()
