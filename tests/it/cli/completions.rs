//! Man pages and completions.

#[test]
fn man_pages_and_completions_lie_beside_the_program_and_know_every_flag() {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_jobshim"));
    let share = program.parent().expect("a folder").join("share");
    let read = |name: &str| {
        let path = share.join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let page = read("man/man1/jobshim-serve.1").replace("\\-", "-");
    let completions = [
        "bash-completion/completions/jobshim.bash",
        "zsh/site-functions/_jobshim",
        "fish/vendor_completions.d/jobshim.fish",
    ]
    .map(read);
    for key in jobshim::config::keys() {
        let name = key.flag.trim_start_matches("--");
        assert!(page.contains(key.flag), "{} is not in the man page", key.flag);
        for completion in &completions {
            assert!(completion.contains(name), "{} is not in the completions", key.flag);
        }
    }
    for command in ["demo", "check", "doctor", "health", "explain", "mapping"] {
        assert!(
            read(&format!("man/man1/jobshim-{command}.1")).contains(".TH"),
            "{command}"
        );
        assert!(
            completions.iter().all(|completion| completion.contains(command)),
            "{command}"
        );
    }
    let bash = share.join("bash-completion/completions/jobshim.bash");
    let checked = std::process::Command::new("bash")
        .arg("-n")
        .arg(bash)
        .status()
        .expect("bash");
    assert!(checked.success());
}
