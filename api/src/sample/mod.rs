//! The sample clinic: made-up people, a week of bookings and two healing wounds, loaded through the
//! public API as any client would.
//!
//! Everything follows from the seeds and the day it is loaded on, and every request has an idempotency key
//! of its own, so a load that was cut short is completed by loading again.

mod client;
mod clinic;
mod tour;

pub use client::{ApiResponse, Client, ClientError};
pub use clinic::{Clinic, Patient, Staff, Visit, WoundCase};
pub use tour::{
    Healing, HealingBounds, HealingOutlook, HealingVisit, Tour, TourError, VisitFigures, load,
};
