//! Tests of `proxy`.

mod budget;
mod cloud;
mod event_order;
mod greeting;
mod hints;
mod login_page;
mod memory;
mod methods;
mod named_events;
mod pass_through;
mod prompt;
mod reload;
mod session;
mod smuggling;
mod smuggling_answers;
mod smuggling_http2;
mod targets;
mod tunnels;
mod v2;
