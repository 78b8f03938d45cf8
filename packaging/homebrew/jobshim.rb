# Filled in by packaging/formula.py with each release.
class Jobshim < Formula
  desc "Keeps old ComfyUI integrations working on servers that only speak the Jobs API"
  homepage "@URL@"
  version "@VERSION@"
  license any_of: ["MIT", "Apache-2.0"]

  on_macos do
    url "@URL@/releases/download/v@VERSION@/jobshim-@VERSION@-universal2-apple-darwin.tar.gz"
    sha256 "@SHA256 universal2-apple-darwin@"
  end

  on_linux do
    on_intel do
      url "@URL@/releases/download/v@VERSION@/jobshim-@VERSION@-x86_64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256 x86_64-unknown-linux-gnu@"
    end
    on_arm do
      url "@URL@/releases/download/v@VERSION@/jobshim-@VERSION@-aarch64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256 aarch64-unknown-linux-gnu@"
    end
  end

  def install
    bin.install "jobshim"
    man1.install Dir["share/man/man1/*.1"]
    bash_completion.install "share/bash-completion/completions/jobshim.bash" => "jobshim"
    zsh_completion.install "share/zsh/site-functions/_jobshim"
    fish_completion.install "share/fish/vendor_completions.d/jobshim.fish"
  end

  service do
    run opt_bin/"jobshim"
    keep_alive true
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/jobshim --version")
    assert_match "translate", shell_output("#{bin}/jobshim explain /history")
  end
end
