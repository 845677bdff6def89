//! What may happen in the clinic.
