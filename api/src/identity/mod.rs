//! Who is calling: passwords, access tokens, the brake on guessing, the queue before it, and what an account may do now.

pub mod accounts;
pub mod known;
pub mod password;
pub mod queue;
pub mod throttle;
pub mod token;
