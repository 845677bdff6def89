//! Who is calling: passwords, access tokens, the brake on guessing, and what an account may do now.

pub mod accounts;
pub mod password;
pub mod throttle;
pub mod token;
