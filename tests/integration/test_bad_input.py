"""Every mistake ends with one line that says what, where and what is allowed, and exit code 2."""

import pytest

CASES = [
    (["quant.bit=9"], ["quant.bit=9", "2, 3, 4, 5, 6, 7, 8, 32"]),
    (["quant.bit=1"], ["quant.bit=1", "2, 3, 4, 5, 6, 7, 8, 32"]),
    (["quant.bit=four"], ["quant.bit", "four", "Integer"]),
    (["quant.power=2"], ["quant.power=2", "0"]),
    (["quant.first_bit=1"], ["quant.first_bit=1", "2, 3"]),
    (["quant.weight_bit=4", "quant.bit=32"], ["quant.weight_bit=4", "full precision"]),
    (["quant.act_alpha=-1"], ["quant.act_alpha=-1"]),
    (["quant.bitt=3"], ["quant.bitt", "unknown", "did you mean bit?", "weight_bit"]),
    (["modle=resnet10"], ["modle", "did you mean model?"]),
    (["+quant.foo=1"], ["quant.foo", "unknown"]),
    (["+foo=1"], ["foo", "unknown"]),
    (["model=resnet19"], ["model=resnet19", "resnet10", "resnet152"]),
    (["model.name=resnet19"], ["model.name=resnet19", "resnet10", "resnet152"]),
    (["model.stem=large"], ["model.stem=large", "reference", "small"]),
    (["model.width=0"], ["model.width=0"]),
    (["optimizer=adam"], ["optimizer=adam", "sgd", "adamw"]),
    (["optimizer.lr=-1"], ["optimizer.lr=-1"]),
    (["scheduler=linear"], ["scheduler=linear", "cosine"]),
    (["data.val_split=60000"], ["data.val_split=60000", "59000"]),
    (["data.batch_size=0"], ["data.batch_size=0"]),
    (["data.std=0"], ["data.std=0"]),
    (["data.rotate=-1"], ["data.rotate=-1", "from 0 to 180"]),
    (["data.zoom=1"], ["data.zoom=1", "from 0 to 0.9"]),
    (["scheduler=cosine", "scheduler.warmup=1"], ["scheduler.warmup=1", "less than 1"]),
    (["optimizer.norm_weight_decay=-1"], ["optimizer.norm_weight_decay=-1"]),
    (["experiment=best", "callbacks.moving_average.decay=1"], ["callbacks.moving_average.decay=1", "less than 1"]),
    (["distill_from=nowhere.ckpt"], ["distill_from=nowhere.ckpt", "no such file"]),
    (["data.train_images=60000"], ["data.train_images=60000", "55000"]),
    (["trainer=gpu"], ["trainer.accelerator=gpu", "no CUDA GPU"]),
    (["trainer.accelerator=abacus"], ["abacus"]),
    (["trainer.max_epochs=0"], ["trainer.max_epochs=0"]),
    (["trainer.precision=16"], ["trainer.precision=16", "32-true", "bf16-mixed"]),
    (["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1"], ["trainer.gradient_clip_val", "32-true"]),
    (["trainer.threads=0"], ["trainer.threads=0"]),
    (["ckpt_path=nowhere.ckpt"], ["ckpt_path=nowhere.ckpt", "no such file"]),
    (["init_from=nowhere.ckpt"], ["init_from=nowhere.ckpt", "no such file"]),
    (["ckpt_path=/"], ["ckpt_path=/", "directory"]),
    (["hydra.run.dir=/dev/null/x"], ["/dev/null/x"]),
    (["quant.bit"], ["quant.bit"]),
    (["seed=-1"], ["seed=-1"]),
    (["sweep.models=[resnet10]"], ["sweep.models=[resnet10]", "sweep=..."]),
    (["experiment=best_of_all"], ["experiment=best_of_all", "reference", "smoke"]),
]


@pytest.mark.parametrize(("arguments", "parts"), CASES, ids=[" ".join(case[0]) for case in CASES])
def test_one_line_and_exit_code_2(run_script, tmp_path, arguments, parts):
    run = (
        [] if any(argument.startswith("hydra.run.dir") for argument in arguments) else [f"hydra.run.dir={tmp_path}/run"]
    )
    outcome = run_script("train.py", *arguments, *run)
    outcome.assert_refused(parts)
    assert not list(tmp_path.rglob("result.json"))
