//! `jobshim explain`
