//! What the documents say is so: their commands run, their configurations are good, their links and paths lead somewhere.

mod blocks;
mod commands;
mod facts;
mod guide;
mod picture;
mod powershell;
