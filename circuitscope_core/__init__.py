"""Train, trace, prune, group and test: the engine behind the CircuitScope app."""

from circuitscope_core.attribution import (
    AttentionExplanation,
    AttentionPair,
    AttributionPlan,
    AttributionProgress,
    Direction,
    EdgeExplanation,
    EdgePath,
    FeatureTarget,
    TokenDifference,
    attribute,
    attribution_steps,
    explain_attention,
    explain_edge,
)
from circuitscope_core.bundle import (
    Bundle,
    BundleMetadata,
    copy_bundle,
    load_bundle,
    load_transcoder,
    save_bundle,
    save_transcoder,
)
from circuitscope_core.comparison import Comparison, compare_graphs
from circuitscope_core.config import (
    AttributionConfig,
    CorpusConfig,
    FeatureCardConfig,
    LanguageModelTraining,
    ModelConfig,
    PruneConfig,
    TrainConfig,
    TranscoderConfig,
    TranscoderTraining,
)
from circuitscope_core.corpus import BuiltinSource, Document, ParquetSource, StageSource
from circuitscope_core.errors import (
    BundleError,
    CircuitScopeError,
    ConfigError,
    CorpusError,
    GraphError,
    GraphFileError,
    NotesError,
    PromptError,
    StageError,
    TrainingError,
)
from circuitscope_core.exam import ExamResult, take_exam
from circuitscope_core.export import export_graph, export_graphml, export_html, strongest_paths
from circuitscope_core.faithfulness import FaithfulnessReport, measure_faithfulness
from circuitscope_core.feature_cards import Example, FeatureCard, FeatureCards
from circuitscope_core.global_weights import (
    GlobalWeight,
    GlobalWeights,
    measure_global_weights,
    virtual_weights,
)
from circuitscope_core.graph import AttributionGraph, Node, NodeKind
from circuitscope_core.graph_file import GraphFile, parse_graph_json, read_graph_file
from circuitscope_core.interventions import Intervention, InterventionResult, intervene
from circuitscope_core.localization import Localization, measure_localization
from circuitscope_core.pipeline import train
from circuitscope_core.pruning import GraphScores, PrunedGraph, graph_scores, prune_graph
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.runs import PromptTraced, TrainingRun, attribute_many, launch
from circuitscope_core.supernodes import (
    CollapsedGraph,
    Supernode,
    Supernodes,
    cluster_features,
    collapse_graph,
    group_by_hand,
)
from circuitscope_core.tokenizer import ByteTokenizer, HuggingFaceTokenizer
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transformer import Transformer

__all__ = [
    "AttentionExplanation",
    "AttentionPair",
    "AttributionConfig",
    "AttributionGraph",
    "AttributionPlan",
    "AttributionProgress",
    "BuiltinSource",
    "Bundle",
    "BundleError",
    "BundleMetadata",
    "ByteTokenizer",
    "CircuitScopeError",
    "CollapsedGraph",
    "Comparison",
    "ConfigError",
    "CorpusConfig",
    "CorpusError",
    "CrossLayerTranscoder",
    "Direction",
    "Document",
    "EdgeExplanation",
    "EdgePath",
    "ExamResult",
    "Example",
    "FaithfulnessReport",
    "FeatureCard",
    "FeatureCardConfig",
    "FeatureCards",
    "FeatureTarget",
    "GlobalWeight",
    "GlobalWeights",
    "GraphError",
    "GraphFile",
    "GraphFileError",
    "GraphScores",
    "HuggingFaceTokenizer",
    "Intervention",
    "InterventionResult",
    "LanguageModelTraining",
    "Localization",
    "ModelConfig",
    "Node",
    "NodeKind",
    "NotesError",
    "ParquetSource",
    "PromptError",
    "PromptTraced",
    "PruneConfig",
    "PrunedGraph",
    "ReplacementModel",
    "StageError",
    "StageSource",
    "Supernode",
    "Supernodes",
    "TokenDifference",
    "TrainConfig",
    "TrainingError",
    "TrainingRun",
    "TranscoderConfig",
    "TranscoderTraining",
    "Transformer",
    "attribute",
    "attribute_many",
    "attribution_steps",
    "cluster_features",
    "collapse_graph",
    "compare_graphs",
    "copy_bundle",
    "explain_attention",
    "explain_edge",
    "export_graph",
    "export_graphml",
    "export_html",
    "graph_scores",
    "group_by_hand",
    "intervene",
    "launch",
    "load_bundle",
    "load_transcoder",
    "measure_faithfulness",
    "measure_global_weights",
    "measure_localization",
    "parse_graph_json",
    "prune_graph",
    "read_graph_file",
    "save_bundle",
    "save_transcoder",
    "strongest_paths",
    "take_exam",
    "train",
    "virtual_weights",
]
