//! placeholder until merge
/// x
pub fn remove_hop_by_hop(_h: &mut http::HeaderMap) {}
