"""Which files of a machine are nobody's business: tables, and nothing else.

A home directory is shown by exception: its ordinary directories and the known places of tool chains.  So
what is added to it later, and what a program replaces while a run lasts, stays hidden too.
"""

from __future__ import annotations

# Below a home: what stays readable although its name starts with a dot.
TOOLS = (
    *(".asdf", ".bun", ".cabal/bin", ".cache", ".cargo/bin", ".conda", ".config/composer/vendor"),
    *(".config/nvm", ".config/yarn", ".deno", ".dotnet", ".elan", ".fnm", ".ghcup", ".goenv"),
    *(".gradle/jdks", ".gradle/wrapper", ".jdks", ".jenv", ".juliaup", ".linuxbrew", ".local"),
    *(".m2/repository", ".micromamba", ".mise", ".n", ".nix-profile", ".nodebrew", ".nodenv"),
    *(".npm-global", ".npm-packages", ".nuget/packages", ".nvm", ".opam", ".phpenv", ".pixi", ".plenv"),
    *(".poetry", ".proto", ".pub-cache/bin", ".pyenv", ".rbenv", ".rustup", ".rvm", ".rye", ".sdkman"),
    *(".stack", ".swiftly", ".tfenv", ".virtualenvs", ".volta", ".yarn"),
)

# Below a home: secrets inside what is shown otherwise, and directories of private things without a dot.
SECRETS = (
    *(".cache/chromium", ".cache/google-chrome", ".cache/huggingface/stored_tokens"),
    *(".cache/huggingface/token", ".cache/mozilla", ".cache/thunderbird", ".local/share/Trash"),
    *(".local/share/containers", ".local/share/keyrings", ".local/share/kwalletd", ".local/share/opencode"),
    *(".local/share/password-store", ".local/state", "Mail", "Maildir", "snap"),
)

# Below a home: links of package managers inside what is hidden by the table above.
LINKS = (".local/state/nix",)

# Below a home that cannot be hidden as a whole (`/`, /var): what is hidden by name.
BY_NAME = (
    *(".aws", ".azure", ".boto", ".bundle", ".cargo/credentials", ".cargo/credentials.toml", ".claude"),
    *(".claude.json", ".codex", ".config", ".copilot", ".cursor", ".docker", ".gem/credentials", ".gemini"),
    *(".git-credentials", ".gitconfig", ".gnupg", ".gradle/gradle.properties", ".kube", ".m2/settings.xml"),
    *(".mozilla", ".my.cnf", ".netrc", ".npmrc", ".password-store", ".pgpass", ".pypirc", ".s3cfg", ".ssh"),
    *(".terraform.d", ".terraformrc", ".vault-token", ".yarnrc.yml"),
)

# Of the machine: hidden where this user could read them, which above all means root.
SYSTEM = (
    *("/etc/NetworkManager/system-connections", "/etc/gitconfig", "/etc/gshadow", "/etc/gshadow-"),
    *("/etc/krb5.keytab", "/etc/kubernetes", "/etc/letsencrypt", "/etc/openvpn", "/etc/rancher"),
    *("/etc/shadow", "/etc/shadow-", "/etc/ssh", "/etc/ssl/private", "/etc/sudoers.d", "/etc/wireguard"),
    *("/lost+found", "/var/backups", "/var/lib/cloud", "/var/lib/containerd", "/var/lib/docker"),
    *("/var/lib/kubelet", "/var/lib/mysql", "/var/lib/postgresql", "/var/lib/private", "/var/lib/rancher"),
    *("/var/log", "/var/mail", "/var/spool"),
)

# Directories that hold more than a home, so that hiding them would hide the system.
TOO_LARGE = frozenset(
    ("/", "/bin", "/etc", "/home", "/lib", "/mnt", "/nonexistent", "/opt", "/sbin", "/srv", "/usr", "/var")
)

# Files of /etc that often are links into /run, and links in /run that lead to tool chains.
SYSTEM_FILES = ("/etc/hosts", "/etc/hostname", "/etc/localtime", "/etc/nsswitch.conf", "/etc/resolv.conf")
SYSTEM_LINKS = ("/run/booted-system", "/run/current-system", "/run/opengl-driver")

# What the strict profile shows of the machine.
STRICT_DIRECTORIES = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/gnu")
STRICT_FILES = (
    *("/etc/alternatives", "/etc/ca-certificates", "/etc/group", "/etc/hosts", "/etc/ld.so.cache"),
    *("/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/nsswitch.conf", "/etc/passwd"),
    *("/etc/pki/ca-trust", "/etc/pki/tls/certs", "/etc/resolv.conf", "/etc/ssl/certs"),
    *("/etc/ssl/openssl.cnf", "/etc/static"),
)
