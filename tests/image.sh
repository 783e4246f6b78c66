#!/usr/bin/env bash
# Proves that the Dockerfile, as it is, builds an image that behaves, on a Debian machine that has neither a Docker
# engine nor a registry to pull from. Needs root and a Rust toolchain.
#
# Two things are stand-ins, which its two ARGs name, because nothing that is made here has the digests that the file pins:
# - the Rust image is an empty tree in which this machine's /usr and toolchain are mounted while building;
# - the distroless image is put together from the same packages of this machine's Debian as the real one.
# So this shows nothing about what those publishers ship today, and image sizes are near the real ones, not equal.
#
# IMAGE_STORE=DIR keeps images and build layers in DIR, so that the next run builds only what has changed.
set -euo pipefail

cd "$(dirname "$0")/.."
work=$(mktemp -d)
store=${IMAGE_STORE:-$work/store}
started=()
stand_ins=()
passed=0
failed=0

finish() {
    local container
    for container in "${started[@]}"; do
        podman rm --force --time 0 --volumes "$container" >/dev/null 2>&1 || true
    done
    # Storage drivers leave mounts behind, the innermost last in the list.
    awk '{ print $5 }' /proc/self/mountinfo | { grep -E "^($work|$store)/" || true; } | sort -r | xargs -r umount
    rm -rf --one-file-system "$work"
}
trap finish EXIT

[[ $EUID == 0 ]] || { echo "image: must be run by root, who alone may mount what the build needs" >&2; exit 1; }

install_missing() {
    local tool missing=()
    for tool in buildah podman runc curl; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [[ ${#missing[@]} == 0 ]] && return
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${missing[@]}" netavark uidmap >/dev/null
}

# A storage of our own: the stand-ins must never be found under those names by anything else on this machine.
use_own_storage() {
    mkdir -p "$store" "$work/tmp"
    cat >"$work/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$store/images"
runroot = "$store/run"
CONF
    # runc and cgroupfs, because there may be no systemd. Limits are named since the defaults may exceed what
    # this machine allows.
    cat >"$work/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
CONF
    export CONTAINERS_STORAGE_CONF=$work/storage.conf CONTAINERS_CONF=$work/containers.conf TMPDIR=$work/tmp
    # Health checks are asked for by hand; podman's timers for them would need systemd.
    export DISABLE_HC_SYSTEMD=true
}

rust_stand_in() {
    local tree=$work/rust
    mkdir -p "$tree"/{etc/ssl/certs,usr,rust,cargo,root,proc,sys,dev,tmp,var/tmp}
    chmod 1777 "$tree"/tmp "$tree"/var/tmp
    for link in bin sbin lib lib32 lib64 libx32; do
        [[ -L /$link ]] && cp -P "/$link" "$tree/"
    done
    cp -a /etc/{passwd,group,alternatives,ld.so.cache} "$tree/etc/"
    cp -L /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/"
    tar -C "$tree" -cf "$work/rust.tar" .
    podman import --quiet --change 'ENV PATH=/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin' --change 'ENV CARGO_HOME=/cargo' \
        "$work/rust.tar" "$1" >/dev/null
}

distroless_stand_in() {
    local tree=$work/distroless package
    mkdir -p "$tree" "$work/packages"
    # Lists that are old name packages that the mirror no longer has.
    apt-get update -qq
    (cd "$work/packages" && apt-get download -qq -o APT::Sandbox::User=root \
        base-files ca-certificates libc6 libgcc-s1 libstdc++6 netbase tzdata)
    for package in "$work"/packages/*.deb; do
        dpkg-deb -x "$package" "$tree"
    done
    mkdir -p "$tree/etc/ssl/certs" "$tree/home/nonroot"
    chown 65532:65532 "$tree/home/nonroot"
    cat "$tree"/usr/share/ca-certificates/mozilla/*.crt >"$tree/etc/ssl/certs/ca-certificates.crt"
    printf '%s\n' root:x:0:0:root:/root:/sbin/nologin nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >"$tree/etc/passwd"
    printf '%s\n' root:x:0: nonroot:x:65532: >"$tree/etc/group"
    tar -C "$tree" -cf "$work/distroless.tar" .
    podman import --quiet --change 'USER 65532' "$work/distroless.tar" "$1" >/dev/null
}

# The images that the Dockerfile asks for are read from it, so that a stand-in cannot be for another image than the one asked for.
base_images() {
    awk '$1 == "ARG" && split($2, parts, "=") == 2 && parts[1] ~ /_IMAGE$/ { print parts[1], parts[2] }' Dockerfile
}

make_stand_ins() {
    local argument name stand_in
    while read -r argument name; do
        stand_in=localhost/stand-in/${name##*/}
        stand_in=${stand_in%@*}
        stand_ins+=(--build-arg "$argument=$stand_in")
        podman image exists "$stand_in" && continue
        case $name in
            */rust:*@sha256:*) rust_stand_in "$stand_in" ;;
            */distroless/*@sha256:*) distroless_stand_in "$stand_in" ;;
            *) echo "image: there is no stand-in for $name" >&2; exit 1 ;;
        esac
    done < <(base_images)
}

# In Docker's format, because OCI's has no place for a HEALTHCHECK. Crates that this machine has are not fetched
# again, and what is fetched is not written to its own cache.
build() {
    local registry=${CARGO_HOME:-$HOME/.cargo}/registry crates=()
    [[ -d $registry ]] && crates=(--volume "$registry:/cargo/registry:O")
    buildah bud --format docker --isolation chroot --network host --pull-never --layers \
        --volume /usr:/usr:O --volume "$(rustc --print sysroot):/rust:ro" "${crates[@]}" "${stand_ins[@]}" \
        --tag "$image" . >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log" >&2; return 1; }
}

check() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok      $what"
    else
        failed=$((failed + 1))
        echo "FAILED  $what"
    fi
}

is() {
    [[ $1 == "$2" ]] || { echo "        expected '$2', found '$1'"; return 1; }
}

has() {
    [[ $1 == *"$2"* ]] || { echo "        expected '$2' in '$1'"; return 1; }
}

create() {
    podman create --pull never --network none --read-only --read-only-tmpfs=false \
        --cap-drop all --security-opt no-new-privileges --memory 128m "$@"
}

of_image() {
    podman image inspect --format "$1" "$image"
}

of_process() {
    awk -v name="$1:" '$1 == name { print $2 }' "/proc/$pid/status"
}

# The container has no network but its own loopback, so that no port of this machine is taken. It is visited there.
ask() {
    nsenter --target "$pid" --net curl --silent --max-time 5 --output "$work/answer" --write-out '%{http_code}' "http://127.0.0.1:3000$1" || true
}

milliseconds() {
    echo $(($(date +%s%N) / 1000000))
}

until_alive() {
    local deadline=$(($(milliseconds) + 15000))
    until [[ $(ask /oauth2/healthz) == 200 ]]; do
        [[ $(milliseconds) -lt $deadline ]] || return 1
    done
}

root_is_read_only() {
    awk '$5 == "/" { print $6 }' "/proc/$pid/mountinfo" | grep -qE '(^|,)ro(,|$)'
}

writable_places() {
    awk '$6 ~ /(^|,)rw(,|$)/ && $5 !~ /^\/(proc|sys|dev)(\/|$)/ { print $5 }' "/proc/$pid/mountinfo" | sort | xargs
}

stops_gracefully() {
    local container=$1 stopping status
    podman stop --time 20 "$container" >/dev/null &
    stopping=$!
    # Unready while it still answers: who balances the load must see it before connections are refused.
    while status=$(ask /oauth2/readyz); [[ $status == 200 ]]; do :; done
    cp "$work/answer" "$work/draining"
    wait "$stopping"
    is "$status" 503 && has "$(cat "$work/draining")" '"draining":true'
}

# Runs the image to its end; prints its exit code, and leaves what it wrote in the file `output`.
run_to_end() {
    local container status=0
    container=$(create "$@")
    podman start --attach "$container" >"$work/output" 2>&1 || status=$?
    podman rm --volumes "$container" >/dev/null
    echo "$status"
}

install_missing
use_own_storage
image=localhost/evergate:test
make_stand_ins
began=$(milliseconds)
check "the Dockerfile builds" build
[[ $failed == 0 ]] || { echo "image: $passed passed, $failed failed"; exit 1; }
built=$(($(milliseconds) - began))

check "its user is a number that is not root's" is "$(of_image '{{.User}}')" 65532:65532
check "its health check needs no shell" is "$(of_image '{{json .HealthCheck.Test}}')" '["CMD","/usr/local/bin/evergate","healthcheck"]'
check "its data is a volume" is "$(of_image '{{json .Config.Volumes}}')" '{"/data":{}}'
check "it says which licence it is under" is "$(of_image '{{index .Labels "org.opencontainers.image.licenses"}}')" Apache-2.0

# Nothing listens at the provider and the app: Evergate starts without the one and needs the other for requests only.
settings=(
    --env CODER_ACCESS_URL=http://127.0.0.1:3000
    --env CODER_UPSTREAM_URL=http://127.0.0.1:9
    --env CODER_OIDC_ISSUER_URL=http://127.0.0.1:9
    --env CODER_OIDC_CLIENT_ID=image-test
)
container=$(create "${settings[@]}" "$image")
started+=("$container")
began=$(milliseconds)
podman start "$container" >/dev/null
pid=$(podman inspect --format '{{.State.Pid}}' "$container")
check "it starts with the required settings alone" until_alive
startup=$(($(milliseconds) - began))

check "it runs as 65532" is "$(of_process Uid) $(of_process Gid)" "65532 65532"
check "it has no capability, and could get none" is "$(of_process CapEff) $(of_process CapPrm) $(of_process CapBnd)" "0000000000000000 0000000000000000 0000000000000000"
check "it may gain no privileges" is "$(of_process NoNewPrivs)" 1
check "its root file system is read-only" root_is_read_only
check "nothing else but its data is writable" is "$(writable_places)" /data
check "its data belongs to its user" is "$(stat -c '%u:%g' "/proc/$pid/root/data" "/proc/$pid/root/data/evergate.sqlite" | xargs)" "65532:65532 65532:65532"
check "its key can be read by its user alone" is "$(stat -c '%u:%g %a' "/proc/$pid/root/data/token.key")" "65532:65532 600"
check "its health check passes" podman healthcheck run "$container"
check "it is ready" is "$(ask /oauth2/readyz)" 200
check "a request of nobody known is answered 401" is "$(ask /anything)" 401
check "and by Evergate, in JSON" has "$(cat "$work/answer")" '"error":"sign_in_required"'
sleep 2
memory=$(of_process VmRSS)
heap=$(of_process RssAnon)
check "asked to stop, it is unready before it is gone" stops_gracefully "$container"
check "it stops of itself and successfully" is "$(podman inspect --format '{{.State.ExitCode}}' "$container")" 0
check "and its log says so" has "$(podman logs "$container" 2>&1)" '"message":"stopping"'

check "without its settings it exits with 64" is "$(run_to_end "$image")" 64
check "and names what is missing" has "$(cat "$work/output")" CODER_ACCESS_URL
check "a setting that is wrong is another 64" is "$(run_to_end "${settings[@]}" --env CODER_SESSION_DURATION=soon "$image")" 64
check "a health check of nothing fails" is "$(run_to_end "${settings[@]}" "$image" healthcheck)" 69

mebibytes() {
    awk -v bytes="$1" 'BEGIN { printf "%.1f MiB", bytes / 1048576 }'
}
binary=$(stat -c %s "$(podman image mount "$image")/usr/local/bin/evergate")
echo "measured: built in $((built / 1000)) s, image $(mebibytes "$(of_image '{{.Size}}')") of which Evergate $(mebibytes "$binary")," \
    "alive after $startup ms, $(mebibytes $((memory * 1024))) resident when idle, of which $(mebibytes $((heap * 1024))) its own"
echo "image: $passed passed, $failed failed"
[[ $failed == 0 ]]
