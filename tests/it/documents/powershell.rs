//! Blocks for PowerShell. It is not on every machine that runs the tests, so they keep to what PowerShell and a POSIX shell read
//! alike, word by word, but for variables; then the shell can run them.

use crate::support::documents::marked;

/// What a line may begin with. `curl` is another command in Windows PowerShell, and `python3` is no name on Windows.
const PROGRAMS: [&str; 4] = ["cargo", "curl.exe", "jobshim", "python"];

/// The same for a POSIX shell, or the line that it cannot be said of.
pub fn in_sh(text: &str) -> Result<String, String> {
    let lines = text
        .lines()
        .map(|line| variable(line).or_else(|| words(line)).ok_or(line.to_owned()));
    lines.collect()
}

/// `$env:NAME = "value"`
fn variable(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix("$env:")?.split_once(" = ")?;
    let value = rest.strip_prefix('"')?.strip_suffix('"')?;
    let is_plain = |text: &str| {
        text.chars()
            .all(|one| one.is_ascii_alphanumeric() || "_-./:".contains(one))
    };
    (is_plain(name) && is_plain(value)).then(|| format!("export {name}=\"{value}\"\n"))
}

fn words(line: &str) -> Option<String> {
    let is_plain = |word: &str| {
        word.chars()
            .all(|one| one.is_ascii_alphanumeric() || "_-./:=".contains(one))
    };
    let known = PROGRAMS.contains(&line.split(' ').next()?);
    (known && line.split(' ').all(is_plain)).then(|| format!("{line}\n"))
}

#[test]
fn only_what_both_shells_read_alike_is_let_through() {
    for (powershell, sh) in [
        ("$env:KEY = \"a-key\"\n", Ok("export KEY=\"a-key\"\n")),
        ("jobshim --upstream http://a:1\n", Ok("jobshim --upstream http://a:1\n")),
        ("curl http://a\n", Err("curl http://a")),
        ("python3 a.py\n", Err("python3 a.py")),
        ("export KEY=\"a-key\"\n", Err("export KEY=\"a-key\"")),
        ("$env:KEY = \"$other\"\n", Err("$env:KEY = \"$other\"")),
        ("jobshim --a b,c\n", Err("jobshim --a b,c")),
        ("jobshim check && jobshim\n", Err("jobshim check && jobshim")),
        ("jobshim check \\\n", Err("jobshim check \\")),
    ] {
        let wanted = sh.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(in_sh(powershell), wanted, "{powershell}");
    }
}

#[test]
fn the_commands_for_the_cloud_are_the_same_in_both_shells() {
    assert_eq!(in_sh(&marked("cloud-powershell").text), Ok(marked("cloud").text));
}
