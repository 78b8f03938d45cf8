//! What polls of a whole history cost: the server, jobshim, and the client that waits. `docs/performance.md` has the table.
//!
//!     cargo bench --bench polling

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark answers nobody but who started it"
)]

mod beside;
mod client;
#[path = "../peers/jobs.rs"]
#[allow(dead_code, reason = "what the comparison with other proxies needs besides")]
mod jobs;
mod rows;
mod server;
mod shim;

fn main() -> std::io::Result<()> {
    // `cargo bench` and `cargo test --benches` add flags of their own.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    println!(
        "| poll | calls | MB from the server | CPU of jobshim, ms | first byte, ms | whole, ms | MB to the client | most memory, MiB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (name, row) in rows::ALL {
        if only.as_ref().is_none_or(|only| name.contains(only.as_str())) {
            println!("| {name} | {} |", row()?);
        }
    }
    if only.as_ref().is_none_or(|only| "beside".contains(only.as_str())) {
        println!("\n{}", beside::beside()?);
    }
    Ok(())
}
