//! What happens around jobshim while it runs: upstreams that fail in every way, and its own end.

mod again;
mod drain;
mod load;
mod stop;
mod upstreams;
