# shellcheck shell=bash
# What the scripts share: how they speak, and how they get packages from Debian. Sourced, never run.

export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
unset CDPATH PYTHONPATH PYTHONHOME # another project's Python must not reach into ours

say() { printf 'aoii: %s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

# Sets BECOME to the words that make a command run as root; fails when nothing does.
find_root() {
    BECOME=()
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null || return 1
    BECOME=(sudo)
    [ -t 0 ] || BECOME=(sudo -n) # nobody is there to type a password
    "${BECOME[@]}" true 2>/dev/null
}

# Installs Debian packages and nothing that they merely recommend; what apt says is shown only when it fails.
# --no-remove: a package of yours that conflicts with one of these stays, and apt says so.
apt_install() {
    local output options
    output=$(mktemp)
    options=(-y -qq --no-install-recommends --no-remove -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0
        -o Dpkg::Options::=--force-confold)
    say "installing $* from Debian's packages"
    # A third party's list that cannot be fetched is no reason to give up: the installation says what it lacks.
    "${BECOME[@]}" apt-get update -qq -o DPkg::Lock::Timeout=600 >"$output" 2>&1 || true
    if ! "${BECOME[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "$@" >>"$output" 2>&1 </dev/null; then
        tail -n 30 "$output" >&2
        rm -f "$output"
        return 1
    fi
    rm -f "$output"
}
