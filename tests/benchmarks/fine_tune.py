"""One run as a script with transformers.Trainer does it: fine-tune, score, store; a teacher answers at every step.

Quantization is torchao's, which must be importable; masks of the least magnitudes are chosen as often as the project
chooses them, and put in force after every step.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from sklearn.metrics import matthews_corrcoef
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, Trainer, TrainerCallback, set_seed

from tests.benchmarks.ours import prepare_torchao
from tests.benchmarks.trainer import arguments, collator, some, tokenized

TEMPERATURE, ALPHA = 2.0, 0.9
SPARSITY, START, END = 0.4, 0.1, 0.7


class Taught(Trainer):  # type: ignore[misc]
    """Distillation by a teacher that is asked at every step."""

    teacher: Any

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        """α · T² · KL + (1 − α) · cross-entropy."""
        outputs = model(**inputs)
        with torch.no_grad():
            answers = self.teacher(**{key: value for key, value in inputs.items() if key != "labels"}).logits
        student = functional.log_softmax(outputs.logits / TEMPERATURE, dim=-1)
        target = functional.log_softmax(answers / TEMPERATURE, dim=-1)
        divergence = functional.kl_div(student, target, reduction="batchmean", log_target=True)
        loss = ALPHA * TEMPERATURE**2 * divergence + (1 - ALPHA) * outputs.loss
        return (loss, outputs) if return_outputs else loss


class Pruning(TrainerCallback):  # type: ignore[misc]
    """Global magnitude pruning of the encoder's and the pooler's matrices, with a linear schedule."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.weights = [
            module.weight
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and "classifier" not in name
        ]
        self.masks = [torch.ones_like(weight) for weight in self.weights]

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Choose masks between `START` and `END`, and put them in force."""
        progress = state.global_step / state.max_steps
        with torch.no_grad():
            if START <= progress <= END:
                magnitudes = torch.cat([weight.abs().flatten() for weight in self.weights])
                pruned = round(SPARSITY * (progress - START) / (END - START) * len(magnitudes))
                threshold = magnitudes.kthvalue(pruned).values if pruned else -1.0
                self.masks = [(weight.abs() > threshold).float() for weight in self.weights]
            for weight, mask in zip(self.weights, self.masks, strict=True):
                weight.mul_(mask)


def main() -> None:
    """Leave the model and its score in `--out`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--glue", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--padding", choices=["dynamic", "max_length"], required=True)
    parser.add_argument("--methods", nargs="*", choices=["quantize", "prune", "distill"], default=[])
    parser.add_argument("--teacher", help="a folder that this script has left")
    parser.add_argument("--out", required=True)
    parser.add_argument("--scratch", required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    set_seed(0)
    data, tokenizer = tokenized(options.weights, options.glue, options.task, options.scratch)
    model = AutoModelForSequenceClassification.from_pretrained(options.weights, num_labels=2, dtype=torch.float32)
    if "quantize" in options.methods:
        prepare_torchao(model)
    trainer = (Taught if "distill" in options.methods else Trainer)(
        model,
        arguments(options.out, 0, learning_rate=5e-5),
        train_dataset=some(data["train"], options.rows),
        data_collator=collator(tokenizer, options.padding),
        callbacks=[Pruning(model)] if "prune" in options.methods else [],
    )
    if "distill" in options.methods:
        trainer.teacher = AutoModelForSequenceClassification.from_pretrained(options.teacher).eval()
    trainer.train()
    predicted = trainer.predict(data["validation"])
    print("score", matthews_corrcoef(predicted.label_ids, predicted.predictions.argmax(-1)))
    trainer.save_model(options.out)


if __name__ == "__main__":
    main()
