//! Evidence and the log.
