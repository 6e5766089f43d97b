//! The maps of one outgoing stream, against models.

mod header;
mod numbering;
mod timestamps;
