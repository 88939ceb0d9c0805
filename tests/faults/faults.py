"""The faults: what each changes, and the tests that should notice it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One change of the code that makes a result wrong.

    Attributes:
        what: What it does.
        file: Below the package.
        before: Code that is there once.
        after: What it becomes.
        tests: Arguments of pytest.
    """

    what: str
    file: str
    before: str
    after: str
    tests: str


CHECKS = "tests/checks"
ADAPTERS = "tests/surgery/test_adapters.py tests/sites/test_grids.py"
BYPASS = "tests/surgery/test_bypass.py"

FAULTS = (
    # Inserted modules
    Fault(
        "alpha starts at one",
        "surgery/inserted.py",
        "torch.zeros(1)) if identity",
        "torch.ones(1)) if identity",
        ADAPTERS,
    ),
    Fault("alpha is cut off", "surgery/inserted.py", "(self.alpha * (y", "(self.alpha.detach() * (y", CHECKS),
    Fault(
        "alpha acts twice",
        "surgery/inserted.py",
        "(self.alpha * (y - x))",
        "(self.alpha * self.alpha * (y - x))",
        ADAPTERS,
    ),
    Fault(
        "strides change at the identity",
        "surgery/inserted.py",
        "x.stride() == y.stride()",
        "True",
        "tests/surgery/test_adapters.py",
    ),
    Fault("a bypassed module acts", "surgery/inserted.py", "if self.bypassed:", "if False:", BYPASS),
    Fault(
        "bypass is never switched off",
        "surgery/bypass.py",
        "module.bypassed = was",
        "module.bypassed = True",
        BYPASS,
    ),
    # Layouts
    Fault(
        "rows and columns of NHWC swapped",
        "surgery/adapters.py",
        "_call(attention, x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)",
        "_call(attention, x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)",
        ADAPTERS,
    ),
    Fault(
        "rows and columns of NDHWC swapped",
        "surgery/adapters.py",
        "x.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)",
        "x.permute(0, 4, 1, 3, 2)).permute(0, 2, 4, 3, 1)",
        ADAPTERS,
    ),
    Fault(
        "frames of videos mixed",
        "surgery/adapters.py",
        "x.transpose(1, 2).reshape(n * t, c, h, w)",
        "x.reshape(n * t, c, h, w)",
        ADAPTERS,
    ),
    Fault(
        "rows and columns of tokens swapped",
        "surgery/adapters.py",
        "reshape(n, c, h, w)  # (N, C, H, W)\n    if",
        "reshape(n, c, w, h)  # (N, C, H, W)\n    if",
        ADAPTERS,
    ),
    Fault(
        "one token before the grid too few",
        "surgery/adapters.py",
        "cells = x[:, grid.prefix : end] if",
        "cells = x[:, grid.prefix - 1 : end - 1] if",
        ADAPTERS,
    ),
    Fault(
        "tokens behind the grid are lost track of",
        "surgery/adapters.py",
        "end = length - grid.suffix",
        "end = length",
        ADAPTERS,
    ),
    Fault(
        "tokens of another grid are accepted",
        "surgery/adapters.py",
        "abs(width * self.height - height * self.width) >= self.height",
        "False",
        ADAPTERS,
    ),
    # Surgery
    Fault(
        "remove() leaves the inserted child",
        "surgery/removal.py",
        "delattr(block, name)",
        "pass",
        "tests/surgery/test_apply.py",
    ),
    Fault(
        "remove() leaves the generated class",
        "surgery/removal.py",
        "block.__class__ = base_of(type(block))",
        "pass",
        "tests/surgery/test_apply.py",
    ),
    Fault(
        "before-add acts on every use of the branch",
        "surgery/placements/before_add.py",
        "return block.branch, (block.add,)",
        "return block.branch, ()",
        "tests/surgery",
    ),
    Fault(
        "a body that was traced for one value accepts another",
        "surgery/elements.py",
        "if value is expected or same:",
        "if True:",
        "tests/surgery",
    ),
    Fault(
        "a constant of a body may change",
        "surgery/elements.py",
        "if value != expected:",
        "if False:",
        "tests/surgery/test_same_body.py",
    ),
    Fault(
        "a block's ambient modes are not compared",
        "surgery/observed.py",
        "self._seen.own_ambient = difference(self._outside, now)",
        "pass",
        "tests/surgery/test_same_body.py",
    ),
    Fault(
        "random steering is not seen",
        "surgery/same_body.py",
        "if seen.drawn:",
        "if False:",
        "tests/surgery/test_same_body.py",
    ),
    Fault(
        "an odd value becomes code",
        "surgery/apply.py",
        "if type(value) not in SPECIALIZABLE]",
        "if False]",
        "tests/surgery/test_apply.py",
    ),
    # Checks
    Fault(
        "changed keys pass",
        "checks/structure.py",
        "passed=not missing and not foreign",
        "passed=True",
        CHECKS,
    ),
    Fault("changed tensors pass", "checks/structure.py", "passed=not changed", "passed=True", CHECKS),
    Fault("another output passes", "checks/outputs.py", "if not equal(new, old):", "if False:", CHECKS),
    Fault(
        "an output that is not finite passes",
        "checks/outputs.py",
        "finite = not shapes.passed or all(",
        "finite = True or all(",
        CHECKS,
    ),
    Fault("another number of calls passes", "checks/outputs.py", "passed=not wrong", "passed=True", CHECKS),
    Fault(
        "training that is not random passes",
        "checks/outputs.py",
        "passed=varies, detail",
        "passed=True, detail",
        CHECKS,
    ),
    Fault(
        "a module left in another mode passes",
        "checks/modes.py",
        "if is_training is not expected:",
        "if False:",
        CHECKS,
    ),
    Fault(
        "other gradients of the base pass",
        "checks/gradients.py",
        "if not different:",
        "if True:",
        CHECKS,
    ),
    Fault(
        "-0 and 0 are two gradients",
        "checks/gradients.py",
        "name: digest(gradient + 0.0)",
        "name: digest(gradient)",
        CHECKS,
    ),
    Fault(
        "a module that cannot learn passes",
        "checks/learning.py",
        "if dead := dead_alone(modules, seed=seed):",
        "if dead := []:",
        CHECKS,
    ),
    Fault(
        "a module that nothing depends on passes",
        "checks/learning.py",
        "if key not in found.reached and name not in cut_off]",
        "if False]",
        CHECKS,
    ),
    Fault(
        "the model's graph is not asked, only values",
        "checks/gradients.py",
        "reached = alive | {",
        "reached = alive or {",
        CHECKS,
    ),
    Fault(
        "a run starts from what the last one left",
        "checks/trial.py",
        "self.state.restore()",
        "pass",
        CHECKS,
    ),
    Fault(
        "buffers are not given back",
        "checks/state.py",
        "module._buffers[name] = buffer.copy_(value)",
        "pass",
        CHECKS,
    ),
    Fault("attributes are not given back", "checks/state.py", "now.update(before)", "pass", CHECKS),
    Fault(
        "zero-initialised layers stay zero",
        "checks/generic_position.py",
        "return uniform + 0.5 if _is_scale",
        "return uniform * 0 if _is_scale",
        CHECKS,
    ),
    Fault(
        "the base is not compared with itself",
        "checks/reference.py",
        "repeats = tuple(map(same, first, second)) if alike",
        "repeats = (True,) * len(first) if alike",
        CHECKS,
    ),
    Fault(
        "the modules are bypassed nowhere",
        "checks/runner.py",
        "with bypassed(trial.model, names):",
        "with bypassed(trial.model, ()):",
        CHECKS,
    ),
    # Inputs and costs
    Fault(
        "the caller's example is handed to the model",
        "models/inputs.py",
        "moved.clone() if moved.data_ptr() == tensor.data_ptr() else moved",
        "moved",
        "tests/models/test_inputs.py",
    ),
    Fault(
        "costs are those of the whole batch",
        "models/inputs.py",
        "if batch_size == 1 and not training and self.batch is not None:",
        "if False:",
        "tests/cost/test_count.py",
    ),
    Fault(
        "calls of a block are counted once",
        "cost/site_cost.py",
        "cost += site.cost.times(calls)",
        "cost += site.cost",
        "tests/cost tests/operate/test_pipeline.py",
    ),
    # Files
    Fault(
        "the reopened file is not compared",
        "operate/saving.py",
        "        require(checks)\n",
        "        pass\n",
        "tests/operate/test_saving.py",
    ),
    Fault(
        "a reopened file always agrees",
        "operate/saving.py",
        "same = equal(again, output)",
        "same = True",
        "tests/operate/test_saving.py",
    ),
    Fault(
        "a damaged file loads",
        "files/loading.py",
        "if state_digest(contents.tensors) != contents.digest:",
        "if False:",
        "tests/files",
    ),
    Fault(
        "attention goes onto any base",
        "files/loading.py",
        "if verify and state_digest(model.state_dict()) != contents.whole:",
        "if False:",
        "tests/files tests/operate/test_saving.py",
    ),
    Fault(
        "a file's bytes may not be on disk",
        "files/atomic.py",
        "os.fsync(file.fileno())",
        "pass",
        "tests/files/test_atomic.py",
    ),
    # Trust and the zoo
    Fault(
        "timm without a colon counts as timm's",
        "trust.py",
        'startswith("timm:")',
        'startswith("timm")',
        "tests/zoo/test_trust.py tests/files tests/cli",
    ),
    Fault(
        "what a file names is trusted",
        "trust.py",
        "if name.is_code and not name.is_typed:",
        "if False:",
        "tests/zoo/test_trust.py",
    ),
    Fault(
        "a finished output may be lost",
        "zoo/ledger.py",
        "os.fsync(self._descriptor)",
        "pass",
        "tests/zoo/test_ledger.py",
    ),
    Fault(
        "the ledger forgets what was planned",
        "zoo/ledger.py",
        "self.planned.update(new)",
        "pass",
        "tests/zoo/test_ledger.py tests/zoo/test_users_files.py",
    ),
)
