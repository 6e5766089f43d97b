//! The SRTP contexts against other implementations and against an attacker.

mod differential;
mod generate;
mod hostile;
mod oracle;
mod streams;
