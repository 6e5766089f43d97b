//! What payloads and dependency descriptors say of frames.

mod bits;
mod descriptor;
mod payloads;
mod streams;
