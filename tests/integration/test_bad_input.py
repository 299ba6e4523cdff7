"""Every mistake ends with one line that says what, where and what is allowed, and exit code 2."""

import pytest

from tests.conftest import slowly

CASES = [
    (["quant.bit=9"], ["quant.bit=9", "2, 3, 4, 5, 6, 7, 8, 32"]),
    (["quant.bit=four"], ["quant.bit", "four", "Integer"]),
    (["quant.power=2"], ["quant.power=2", "0"]),
    (["quant.weight_bit=4", "quant.bit=32"], ["quant.weight_bit=4", "full precision"]),
    (["quant.bitt=3"], ["quant.bitt", "unknown", "did you mean bit?", "weight_bit"]),
    (
        ["quant.overrides={layr1.*: {bit: 8}}"],
        ["quant.overrides.layr1.*: matches no layer", "near it are layer1.0.conv1"],
    ),
    (
        ["quant.overrides={fc: {bits: 8}}"],
        ["quant.overrides.fc.bits: unknown option (did you mean bit?)", "weight_bit"],
    ),
    (["quant.overrides={fc: {bit: 9}}"], ["quant.overrides.fc.bit=9", "2, 3, 4, 5, 6, 7, 8, 32"]),
    (["quant.overrides={fc: 9}"], ["quant.overrides.fc=9", "{bit: 8}"]),
    (["quant.overrides=9"], ["quant.overrides"]),
    (["quant.bit=32", "quant.overrides={fc: {bit: 8}}"], ["quant.overrides", "bit=32 is full precision everywhere"]),
    (["modle=resnet10"], ["modle", "did you mean model?"]),
    (["+quant.foo=1"], ["quant.foo", "unknown"]),
    (["+foo=1"], ["foo", "unknown"]),
    (["model=resnet19"], ["model=resnet19", "choose from custom, resnet10, resnet14, resnet18", "resnet152"]),
    (["callbacks=[best,intger]"], ["callbacks=intger", "integer"]),
    (["model.name=resnet19"], ["model.name=resnet19", "resnet10", "resnet152"]),
    (["model.stem=large"], ["model.stem=large", "reference", "small"]),
    (["optimizer=adam"], ["optimizer=adam", "sgd", "adamw"]),
    (["optimizer.lr=-1"], ["optimizer.lr=-1"]),
    (["scheduler=linear"], ["scheduler=linear", "cosine"]),
    (["data.val_split=60000"], ["data.val_split=60000", "59998"]),
    (["distill_from=nowhere.ckpt"], ["distill_from=nowhere.ckpt", "no such file"]),
    (["data.train_images=60000"], ["data.train_images=60000", "55000"]),
    (["trainer=gpu"], ["trainer.accelerator=gpu", "no CUDA GPU"]),
    (["trainer.accelerator=tpu"], ["trainer.accelerator=tpu", "auto, cpu, gpu, cuda"]),
    (["trainer.precision=16"], ["trainer.precision=16", "32-true", "bf16-mixed"]),
    (["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1"], ["trainer.gradient_clip_val", "32-true"]),
    (["trainer.max_epoch=3"], ["trainer.max_epoch", "unknown", "did you mean max_epochs?"]),
    (["+trainer.sync_batchnrm=true"], ["trainer.sync_batchnrm", "unknown", "did you mean sync_batchnorm?"]),
    (["trainer.logger=csv"], ["trainer.logger", "unknown"]),
    (["trainer.overfit_batches=-1"], ["overfit_batches"]),
    (["ckpt_path=nowhere.ckpt"], ["ckpt_path=nowhere.ckpt", "no such file"]),
    (["init_from=nowhere.ckpt"], ["init_from=nowhere.ckpt", "no such file"]),
    (["ckpt_path=/"], ["ckpt_path=/", "directory"]),
    (["hydra.run.dir=/dev/null/x"], ["/dev/null/x"]),
    (["quant.bit"], ["quant.bit"]),
    (["seed=-1"], ["seed=-1"]),
    (["sweep.models=[resnet10]"], ["sweep.models=[resnet10]", "sweep=..."]),
    (["trainer.threads=1000000000"], ["trainer.threads=1000000000", "from 1 to 256"]),
    (["trainer.devices=[0,0]"], ["trainer.devices=[0, 0]", "all different"]),
    (["trainer.strategy=abacus"], ["trainer.strategy=abacus", "auto or ddp"]),
    (["optimizer.name=adamw"], ["optimizer.name=adamw", "must be sgd", "optimizer=..."]),
    (["callbacks.last_checkpoint=null"], ["callbacks.last_checkpoint=null", "_target_", "~callbacks.last_checkpoint"]),
    (["callbacks.last_checkpoint._target_=nowhere.Last"], ["callbacks.last_checkpoint._target_=nowhere.Last"]),
    (["callbacks.best_checkpoint.filename=5"], ["callbacks.best_checkpoint.filename=5", "text or null"]),
    (["callbacks.best_checkpoint.mode=best"], ["callbacks.best_checkpoint", "mode", "min"]),
    (["+callbacks.finite_loss.every=5"], ["callbacks.finite_loss", "every"]),
    (["data.data_dir=/nowhere"], ["/nowhere", "no MNIST files", "data.download=true"]),
    (["+trainer.val_check_interval=text"], ["trainer", "val_check_interval"]),
    (["+trainer.max_time=text"], ["trainer", "duration"]),
    (["+trainer.max_time=5"], ["trainer", "total_seconds"]),
    (["+trainer.min_epochs=text"], ["trainer.min_epochs=text", "an integer or null"]),
    (["+trainer.plugins=5"], ["trainer", "5"]),
    (["+trainer.gradient_clip_algorithm=text"], ["trainer", "gradient_clip_algorithm"]),
    (["recipe=mine/v1"], ["recipe=mine/v1", "at most 60 characters", "/"]),
    (["recipe=''"], ["recipe", "at most 60 characters"]),
    (["trainer.accumulate_grad_batches=100000000000000000000"], ["trainer.accumulate_grad_batches"]),
    (["model=[resnet10,resnet18]"], ["model=[resnet10,resnet18]: is one choice", "-m model=a,b"]),
    (["quant=[apot,uniform]"], ["quant=[apot,uniform]: is one choice"]),
    (["logger=null"], ["logger=null: must be a choice"]),
    (["model=null"], ["model=null: must be a choice"]),
    (["~seed"], ["seed: can't be left out"]),
    (["~data.flip"], ["deletion", "data.flip"]),
    (["init_from=zwölf.ckpt"], ["init_from=zwölf.ckpt: can't be parsed", "\"init_from='zwölf.ckpt'\""]),
    (["init_from=a=$b"], ["init_from=a=$b: can't be parsed", "'init_from='\"'\"'a=$b'\"'\"''"]),
    (["net.safetensors"], ["net.safetensors: options are given as key=value"]),
    (["callbacks=integer"], ["callbacks: none of them writes checkpoints", "callbacks=[default,integer]"]),
    (["callbacks=[]"], ["callbacks: none of them writes checkpoints"]),
    (["+callbacks.mine._target_=fractions.Fraction"], ["callbacks: Fraction: must be callbacks of Lightning"]),
    (["experiment=best_of_all"], ["experiment=best_of_all", "reference", "smoke"]),
]

# Ranges of options, which tests/configs/test_ranges.py walks as well, but not by the whole script.
RANGES = [
    (["quant.bit=1"], ["quant.bit=1", "2, 3, 4, 5, 6, 7, 8, 32"]),
    (["quant.first_bit=1"], ["quant.first_bit=1", "2, 3"]),
    (["quant.act_alpha=-1"], ["quant.act_alpha=-1"]),
    (["model.width=0"], ["model.width=0"]),
    (["data.batch_size=0"], ["data.batch_size=0"]),
    (["data.std=0"], ["data.std=0"]),
    (["data.rotate=-1"], ["data.rotate=-1", "from 0 to 180"]),
    (["data.zoom=1"], ["data.zoom=1", "from 0 to 0.9"]),
    (["data.elastic=-1"], ["data.elastic=-1", "from 0 to 10000"]),
    (["data.elastic_sigma=0"], ["data.elastic_sigma=0", "above 0"]),
    (["label_smoothing=1"], ["label_smoothing=1", "from 0 to less than 1"]),
    (["scheduler=cosine", "scheduler.warmup=1"], ["scheduler.warmup=1.0", "less than 1"]),
    (["optimizer.norm_weight_decay=-1"], ["optimizer.norm_weight_decay=-1"]),
    (["experiment=best", "callbacks.moving_average.decay=1"], ["callbacks.moving_average.decay=1", "less than 1"]),
    (["trainer.max_epochs=-2"], ["trainer.max_epochs=-2"]),
    (["trainer.threads=0"], ["trainer.threads=0"]),
    (["data.mean=2"], ["data.mean=2", "from 0 to 1"]),
    (["trainer.limit_test_batches=0"], ["trainer.limit_test_batches=0", "at least 1"]),
    (["trainer.limit_train_batches=0"], ["trainer.limit_train_batches=0", "at least 1"]),
    (["trainer.accumulate_grad_batches=0"], ["trainer.accumulate_grad_batches=0", "at least 1"]),
    (["trainer.check_val_every_n_epoch=0"], ["trainer.check_val_every_n_epoch=0", "at least 1"]),
    (["trainer.log_every_n_steps=0"], ["trainer.log_every_n_steps=0", "at least 1"]),
    (["trainer.gradient_clip_val=-1"], ["trainer.gradient_clip_val=-1", "above 0"]),
    (["scheduler=onecycle", "scheduler.pct_start=1"], ["scheduler.pct_start=1.0", "less than 1"]),
    (["scheduler=cosine", "scheduler.min_lr=nan"], ["scheduler.min_lr=nan", "from 0"]),
    (["scheduler=multistep", "scheduler.gamma=-1"], ["scheduler.gamma=-1", "above 0"]),
    (["optimizer=adamw", "optimizer.betas=[0.9]"], ["optimizer.betas=[0.9]", "a list of 2"]),
    (["optimizer.momentum=nan"], ["optimizer.momentum=nan", "less than 1"]),
    (["optimizer.weight_decay=inf"], ["optimizer.weight_decay=inf", "from 0"]),
    (["callbacks.finite_loss.every_n_steps=0"], ["callbacks.finite_loss.every_n_steps=0", "at least 1"]),
    (["experiment=best", "callbacks.reestimated_batch_norm.images=null"], ["reestimated_batch_norm.images=null"]),
    (["experiment=best", "callbacks.reestimated_batch_norm.images=1.5"], ["reestimated_batch_norm.images=1.5"]),
    (["experiment=best", "callbacks.reestimated_batch_norm.images=-1"], ["reestimated_batch_norm.images=-1"]),
    (["data.std=1e308"], ["data.std=1e+308", "from 0.001 to 1000"]),
    (["distill_temperature=1e300"], ["distill_temperature=1e+300", "from 0.01 to 100"]),
    (["model.width=1000000000"], ["model.width=1000000000", "from 1 to 512"]),
]


# What Lightning refuses only as it runs is refused soon, should it be taken.
SMALL = ["model=resnet10", "model.width=1", "data.train_images=64", "data.val_split=64", "data.eval_batch_size=10000"]
RUNNING = [
    (["+trainer.val_check_interval=1000000"], ["trainer", "val_check_interval"]),
    (["+trainer.val_check_interval=0"], ["trainer"]),
    (["+trainer.overfit_batches=0.00001"], ["trainer", "limit_train_batches"]),
    (["trainer.limit_train_batches=0.00001"], ["trainer", "limit_train_batches"]),
    (["trainer.limit_val_batches=0.00001"], ["trainer", "limit_val_batches"]),
    (["trainer.limit_test_batches=0.5"], ["trainer", "limit_test_batches"]),
    (["callbacks.best_checkpoint.monitor=val/wit"], ["val/wit"]),
    (
        ["+callbacks.stop={_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: val_acc}"],
        ["callbacks: Early stopping conditioned on metric `val_acc`", "no checkpoint was written yet"],
    ),
]


@pytest.mark.parametrize(("arguments", "parts"), RUNNING, ids=[" ".join(case[0]) for case in RUNNING])
def test_what_is_found_out_while_running(run_script, tmp_path, arguments, parts):
    small = [*SMALL, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/run"]
    outcome = run_script("train.py", *small, *arguments)
    outcome.assert_refused(parts)


@pytest.mark.parametrize(
    ("arguments", "parts"), [*CASES, *slowly(*RANGES)], ids=[" ".join(case[0]) for case in [*CASES, *RANGES]]
)
def test_one_line_and_exit_code_2(run_script, tmp_path, arguments, parts):
    run = (
        [] if any(argument.startswith("hydra.run.dir") for argument in arguments) else [f"hydra.run.dir={tmp_path}/run"]
    )
    outcome = run_script("train.py", *arguments, *run)
    outcome.assert_refused(parts)
    assert not list(tmp_path.rglob("result.json"))
