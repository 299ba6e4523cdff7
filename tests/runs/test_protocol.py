"""Which results may stand in one row of a table."""

import json

import pytest

from apot_lit.runs.protocol import protocol
from tests.conftest import ROOT


def with_devices(devices):
    config = json.loads((ROOT / "results/best/resnet10_2bit_apot_seed0.json").read_text())["config"]
    config["trainer"]["devices"] = devices
    return protocol(config)


@pytest.mark.parametrize("one", [[1], [0], "1", "3,", [7]])
def test_one_device_is_one_device_whatever_its_number(one):
    assert with_devices(one) == with_devices(1)


@pytest.mark.parametrize("two", [[0, 1], [3, 5], "2", "0,1", "0, 1,"])
def test_two_devices_are_two_devices_whatever_their_numbers(two):
    assert with_devices(two) == with_devices(2)
    assert set(with_devices(two)) - set(with_devices(1)) == {("trainer.devices", "2")}


@pytest.mark.parametrize("several", [-1, "-1", "auto", [0, 1, 2]])
def test_other_numbers_of_devices_are_another_protocol(several):
    assert with_devices(several) not in (with_devices(1), with_devices(2))


@pytest.mark.parametrize(("key", "off", "on"), [("data.elastic", 0.0, 34.0), ("label_smoothing", 0.0, 0.1)])
def test_regularisers_make_a_protocol_of_their_own_and_off_is_that_of_results_without_them(key, off, on):
    config = json.loads((ROOT / "results/best/resnet10_2bit_apot_seed0.json").read_text())["config"]
    section, _, name = key.rpartition(".")
    options = config[section] if section else config
    assert name not in options
    before = protocol(config)
    options[name] = off
    assert protocol(config) == before
    options[name] = on
    assert set(protocol(config)) - set(before) == {(key, str(on))}


def test_smoothing_of_an_elastic_distortion_that_is_off_makes_no_protocol():
    config = json.loads((ROOT / "results/best/resnet10_2bit_apot_seed0.json").read_text())["config"]
    before = protocol(config)
    config["data"] |= {"elastic": 0.0, "elastic_sigma": 6.0}
    assert protocol(config) == before
    config["data"]["elastic"] = 34.0
    assert set(protocol(config)) - set(before) == {("data.elastic", "34.0"), ("data.elastic_sigma", "6.0")}
