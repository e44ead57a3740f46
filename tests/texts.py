"""Small Parquet corpora and settings for trainings of seconds."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq

import circuitscope_core as cs

SENTENCES = (
    "The river runs past the mill. ",
    "A small bird sat on the wall. ",
    "The mill was built of stone. ",
    "No one knows who built the wall. ",
)


def write_parquet(path, texts=None, n_documents=300):
    """Write documents; the default ones repeat a few sentences, so that there is much to learn."""
    if texts is None:
        texts = [
            f"{i}. " + "".join(SENTENCES[(i + j) % 4] for j in range(6)) for i in range(n_documents)
        ]
    meta = [{"pile_set_name": "Tests"}] * len(texts)
    pq.write_table(pa.table({"text": texts, "meta": meta}), path)
    return str(path)


def tiny_config(seed=0, **changes):
    config = cs.TrainConfig(
        model=cs.ModelConfig(n_layers=2, d_model=16, n_heads=2, d_head=8, d_mlp=32, n_ctx=32),
        transcoder=cs.TranscoderConfig(n_layers=2, d_model=16, d_transcoder=32),
        corpus=cs.CorpusConfig(validation_every=10),
        language_model_training=cs.LanguageModelTraining(
            n_tokens=30_000, batch_size=8, warmup_steps=5
        ),
        transcoder_training=cs.TranscoderTraining(
            n_tokens=20_000, batch_size=256, buffer_sequences=64, causal_weight=0.25
        ),
        feature_cards=cs.FeatureCardConfig(
            n_tokens=8_000, n_top_examples=3, n_interval_examples=1, context=8
        ),
        seed=seed,
        event_steps=5,
    )
    return dataclasses.replace(config, **changes)
