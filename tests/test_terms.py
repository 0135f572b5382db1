"""The field's words lead to the thing: whoever greps for a term finds its module's first line."""

import ast
from pathlib import Path

import pytest

import melnb

PACKAGE = Path(melnb.__file__).parent
TERMS = {
    "data": """
        audit/template_matching: template matching
        audit/duplicates: duplicates
        audit/leaks: data leakage
        audit/near_duplicates: near duplicates, embeddings
        audit/shortcut_features: shortcuts
        augmentation/artefacts: hairs, rulers
        augmentation/augment: RandAugment, AugMix
        augmentation/colour: color augmentation
        augmentation/filters: CLAHE, blur, noise
        augmentation/geometry: cutout, rotation, elastic
        augmentation/mixing: mixup, CutMix
        cleaning: hair removal, color constancy
        augmentation/corruptions: robustness, corruptions
        epochs/external: external data
        epochs/sampling: balanced sampling, oversampling
        embeddings: embeddings, nearest neighbours
        folds: cross-validation, patient-safe
        lesions/abcd: ABCD rule
        lesions/crops: bounding box
        metadata: metadata
        pseudo_labels: pseudo-labels
        shards/examples: TFRecord
        skin: skin tone
    """,
    "models": """
        accelerator: mixed precision, TPU, GPU
        corrupted: robustness
        feature_extraction: feature extraction, ONNX
        networks/backbones: backbones, EfficientNet
        networks/classifier: GeM
        networks/efficientnet_lite: EfficientNet-Lite
        networks/heads: ArcFace, metadata fusion
        networks/state_dicts: PyTorch, safetensors
        networks/weights: pretrained weights
        optimization/curves: learning-rate schedules, 1cycle, warm restarts
        optimization/freezing: layer-wise learning rates, unfreezing
        optimization/lr_finder: learning-rate finder
        optimization/optimizers: gradient accumulation
        optimization/weight_averaging: EMA, SWA
        out_of_fold: out-of-fold predictions
        saliency/explanations: Grad-CAM, integrated gradients
        saliency/map_scores: sanity checks
        segmentation/mask_losses: Dice
        segmentation/unet: U-Net
        tabular/feature_importance: permutation importance, partial dependence
        training/callback: callback
        training/checkpoints: checkpoints
        training/fitting: early stopping
        training/hard_examples: hard-example mining
        training/losses: focal loss, label smoothing, class weights
        training/recipe: progressive resizing
        tta: test-time augmentation
    """,
    "evaluation": """
        calibration/calibration_scores: Brier score, ECE
        calibration/calibrators: temperature scaling, isotonic
        calibration/flexible_curve: calibration curve
        calibration/prevalence: prevalence shift
        calibration/reliability: reliability diagram
        challenges/jaccard: Jaccard
        decisions/class_decision: logit adjustment
        decisions/class_weights: class weights
        decisions/conformal: conformal prediction
        decisions/equivalence: non-inferiority
        decisions/net_benefit: decision curves, net benefit
        decisions/operating_point: operating point
        decisions/selective: selective prediction
        decisions/thresholds: Youden
        discrimination/ranking: ROC, AUC, precision-recall
        ensembles/blends: rank averaging
        ensembles/search: ensemble selection
        ensembles/cross_fit: stacking
        confident_learning: label errors, confident learning
        robustness: robustness
        shortcuts: spurious features
        mask_scores: Dice
        patient_context: ugly duckling
        shift/areas: external validation, meta-analysis
        statistics/bootstrap: bootstrap
        statistics/intervals: DeLong, confidence intervals
        statistics/sample_size: sample size
        subgroups/gaps: fairness
    """,
    "display": """
        plots/training: learning curves
        report/card: model card
        threshold/threshold_explorer: threshold explorer
    """,
    "running": """
        snakemake: Snakemake
        stage: papermill
        voila: Voila
    """,
}
LEADS = [
    (f"{room}/{module.strip()}.py", term.strip())
    for room, lines in TERMS.items()
    for line in lines.strip().splitlines()
    for module, terms in [line.split(":")]
    for term in terms.split(",")
]


@pytest.mark.parametrize(("module", "term"), LEADS, ids=[term for _, term in LEADS])
def test_a_term_leads_to_its_module(module: str, term: str) -> None:
    text = (PACKAGE / module).read_text(encoding="utf-8")
    first = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    assert term.lower() in first.lower().replace("colour", "color"), first
