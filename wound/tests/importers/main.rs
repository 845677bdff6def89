//! Captures of other programs: read as they are meant, refused for the right reason, stripped of
//! whatever says where and with what they were taken, and never able to bring the reader down.

mod alignment;
mod privacy;
mod refusals;
mod robustness;
mod round_trip;
mod sources;
mod table;
