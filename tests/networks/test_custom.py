"""A custom network: trained and exported like those of the zoo, or refused with the reason."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from suraksha.errors import BundleError, ModelError
from suraksha.evaluation.export import export
from suraksha.inference.bundle import read_bundle
from suraksha.inference.engines import create_engine
from suraksha.networks.zoo import create_model, find_model, model_options
from suraksha.runs.config import ModelConfig
from suraksha.training.fit import train

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    divisor = 8

    def __init__(self, in_channels=1, width=3):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 1)
        )

    def forward(self, x):
        return self.body(x)

class Bare(Net):
    divisor = 32

class Stiffer(Net):
    one_size = True

    def forward(self, x):
        ramp = torch.linspace(0, 1, x.shape[2])[:, None].repeat(1, int(x.shape[3]))
        return self.body(x) + ramp

class Odd(Net):
    divisor = 0

class Two(Net):
    def forward(self, x):
        return self.body(x), x

class Small(Net):
    def forward(self, x):
        return self.body(x)[..., ::2]

class Stiff(nn.Module):
    def __init__(self):
        super().__init__()

number = 3
"""


@pytest.fixture(scope="module", autouse=True)
def mine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code")
    (folder / "mine_net.py").write_text(CODE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


def test_custom_network_is_built_and_rebuilt_from_its_options():
    network = create_model("mine_net:Net", in_channels=3, options={"width": 5})
    assert network.training
    assert network(torch.zeros(1, 3, 16, 24)).shape == (1, 1, 16, 24)
    assert model_options(network) == {"in_channels": 3, "width": 5}
    entry = find_model("mine_net:Net")
    assert (entry.name, entry.divisor) == ("mine_net:Net", 8)


@pytest.mark.parametrize("name", ["Net", "Stiffer"])
def test_custom_network_is_trained_and_exported(tiny_config, phantom_cache, tmp_path, name):
    optim = replace(tiny_config.optim, epochs=1)
    model = ModelConfig(f"mine_net:{name}", {"width": 4})
    config = replace(tiny_config, model=model, optim=optim)
    run = train(config, phantom_cache, out=tmp_path, progress=False)
    assert f"-mine_net.{name}-" in run.folder.name
    export(run, tmp_path / "mine.busi", data=phantom_cache)
    bundle = read_bundle(tmp_path / "mine.busi")
    assert bundle.card.model == {"name": f"mine_net:{name}", "in_channels": 1, "width": 4}
    assert bundle.card.divisor == 8
    assert len(bundle.card.parity) == (3 if name == "Net" else 1)
    engine = create_engine("onnxruntime", bundle.model)
    assert engine.run(np.zeros((1, 1, 32, 32), np.float32)).mask.shape == (1, 1, 32, 32)
    if name == "Stiffer":
        with pytest.raises(BundleError, match="failed on a batch"):
            engine.run(np.zeros((1, 1, 64, 64), np.float32))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("absent_net:Net", {}, "PYTHONPATH"),
        ("mine_net:Absent", {}, "cannot be loaded"),
        (":Net", {}, "cannot be loaded"),
        ("mine_net:number", {}, "is not a network"),
        ("mine_net:Odd", {}, "divisor 0"),
        ("mine_net:Net", {"widht": 3}, "does not take"),
        ("mine_net:Stiff", {}, "does not take"),
        ("mine_net:Two", {}, "returns tuple"),
        ("mine_net:Small", {}, r"returns \(2, 1, 16, 12\)"),
    ],
)
def test_invalid_custom_network_is_refused(name, options, message):
    with pytest.raises(ModelError, match=message):
        create_model(name, options=options)
