//! What happens around jobshim while it runs: upstreams that fail in every way, and its own end.

mod again;
mod stop;
mod upstreams;
