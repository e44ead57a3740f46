"""Errors that the core raises on purpose.

* CircuitScopeError
  - ConfigError       a setting contradicts itself or lies outside its range
  - DeviceError       a device is not there, or has too little memory
  - ModelError        a language model cannot be opened, or is not what its file says
  - StageError        a folder or a Snowflake stage cannot be reached, read or written
  - CorpusError       text cannot be read: file, row group and column are named
  - PromptError       a prompt is empty, too long, or has tokens the model lacks
  - BundleError       a saved model is missing, incomplete or was changed
  - TrainingError     a training cannot start, go on or be resumed
  - GraphError        a graph is invalid, or a request does not fit it
  - GraphFileError    a graph file cannot be opened: every reason, up to the first ten
  - ScoreError        a graph file lacks what a score needs, or belongs to something else
  - CircuitError      a compiled program cannot be read, or its circuit not be found
  - NotesError        what a person wrote down cannot be read or kept

Every message says what is wrong, the value, and what to do; pages show it as it is.
"""


class CircuitScopeError(Exception):
    """Base class; its message is written for the person using the app."""


class ConfigError(CircuitScopeError):
    """A setting contradicts itself or lies outside its range."""


class DeviceError(CircuitScopeError):
    """A device is not there, or has too little memory for what is to be done."""


class ModelError(CircuitScopeError):
    """A language model cannot be opened, or is not what its files say."""


class StageError(CircuitScopeError):
    """Files of a folder or of a Snowflake stage cannot be reached, read or written."""


class CorpusError(CircuitScopeError):
    """Text cannot be read; the message names the file and, where known, row group and column."""


class PromptError(CircuitScopeError):
    """A prompt is empty, too long for the model, or has tokens outside its vocabulary."""


class BundleError(CircuitScopeError):
    """A saved model is missing, incomplete, or differs from what its record says."""


class TrainingError(CircuitScopeError):
    """A training cannot start, go on, or be resumed."""


class GraphError(CircuitScopeError):
    """A graph is invalid, or a request does not fit it."""


class GraphFileError(CircuitScopeError):
    """A graph file cannot be opened; the message lists the first ten reasons, one a line."""


class ScoreError(CircuitScopeError):
    """A graph file lacks what a score needs, or belongs to another model, prompt or program."""


class CircuitError(CircuitScopeError):
    """A compiled program cannot be read, or its circuit cannot be looked for in a graph."""


class NotesError(CircuitScopeError):
    """A person's notes cannot be read or written."""
