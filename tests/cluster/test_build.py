"""What surrounds the program: configure and its messages, what an install lays down, tools/dev, the README's examples."""
import glob
import os
import re
import shlex
import shutil
import subprocess
import textwrap

import pytest

import rig

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CONFIGURE = os.path.join(TOP, "configure")
DEV = os.path.join(TOP, "tools", "dev")
DYNOMITED = os.path.join(rig.BUILD, "dynomited")


def run(*args, cwd=None, env=None, timeout=300):
    return subprocess.run(args, capture_output=True, text=True, timeout=timeout, check=False, cwd=cwd,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)


# ---- the README -------------------------------------------------------------------------------

def readme():
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
        return f.read()


def yaml_examples():
    """Indented blocks that begin with the pool's name."""
    blocks = re.findall(r"(?m)^((?: {4,}dyn_o_mite:\n)(?:(?: {4,}.*)?\n)+)", readme())
    return [textwrap.dedent(b).strip() + "\n" for b in blocks]


def test_build_readme_has_five_examples():
    assert len(yaml_examples()) + readme().count("        dynomited --") >= 5


@pytest.mark.parametrize("text", yaml_examples(), ids=lambda t: t.splitlines()[-1].strip()[:30])
def test_build_readme_examples_are_valid(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    done = run(DYNOMITED, "-t", "-c", "c.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "configuration file c.yaml syntax is ok\n"), done
    assert done.stderr == ""


def test_build_readme_command_lines_are_valid(tmp_path):
    lines = re.findall(r"(?m)^ {4,}dynomited (--.*)$", readme())
    assert lines
    for line in lines:
        assert run(DYNOMITED, "-t", *line.split(), cwd=tmp_path).returncode == 0, line


def test_build_readme_names_what_exists():
    """Flags, keys, dyn-admin's commands and pages that the README names."""
    text, help_text = readme(), run(DYNOMITED, "--help").stdout
    for flag in set(re.findall(r"`(--[a-z-]+)`", text)) - {"--foo-bar"}:
        assert flag in help_text or flag in ("--wipe", "--store"), flag
    commands = re.search(r"`dyn-admin ([^`]*)`", text).group(1).replace(" ", "").replace("\n", "")
    usage = run(os.path.join(rig.BUILD, "dyn-admin"), "--help").stdout
    assert len(commands.split("|")) > 5
    for command in commands.split("|"):
        assert re.search(rf"\b{command}\b", usage), command


def test_build_table_of_faults_names_what_exists():
    """docs/faults.md names tests; each of them is there."""
    there = ""
    for path in glob.glob(os.path.join(TOP, "tests", "*", "test_*")):
        with open(path, encoding="utf-8") as f:
            there += f.read()
    with open(os.path.join(TOP, "docs", "faults.md"), encoding="utf-8") as f:
        rows = re.findall(r"(?m)^\| .* \| (`.*) \|$", f.read())
    assert len(rows) > 15
    for name in re.findall(r"`(\w+)`", " ".join(rows)):
        assert re.search(rf"(def {name}\(|START_TEST\({name}\))", there), name


# ---- configure --------------------------------------------------------------------------------

needs_configure = pytest.mark.skipif(not os.path.exists(CONFIGURE), reason="no ./configure here")


def configure(where, *args, cache=None, env=None):
    cached = [f"--cache-file={cache}"] if cache else []
    return run(CONFIGURE, *cached, *args, cwd=where, env=env)


@needs_configure
@pytest.mark.parametrize("args, said", [
    (["--enable-sanitizer=nonsense"], "found nonsense; allowed: address, undefined, thread"),
    (["--enable-sanitizer=address,nonsense"], "found nonsense; allowed"),
    (["--enable-sanitizer=address,thread"], "address and thread exclude each other"),
    (["--enable-sanitizer=thread,undefined,address"], "address and thread exclude each other"),
    (["--enable-sanitizer="], "found ''; allowed"),
    (["--enable-sanitizer"], "found yes; allowed"),
    (["--enable-sanitizer=,address"], "found ''; allowed"),
    (["--enable-werror=maybe"], "found maybe; allowed: yes, no"),
    (["--enable-fuzzers=maybe"], "found maybe; allowed: yes, no"),
    (["CC=gcc", "--enable-fuzzers"], "--enable-fuzzers needs CC=clang"),
    (["CC=nonexistent-cc"], "C compiler"),
    (["PKG_CONFIG=/nonexistent"], "pkg-config")], ids=lambda a: " ".join(a) if isinstance(a, list) else "")
def test_build_configure_refuses(tmp_path, args, said):
    done = configure(tmp_path, *args)
    assert done.returncode != 0 and said in done.stderr, done.stderr


LIBRARIES = {"liburcu-memb": "liburcu-dev", "liburcu-cds": "liburcu-dev", "libuv": "libuv1-dev",
             "lmdb": "liblmdb-dev", "libprotobuf-c": "libprotobuf-c-dev", "yaml-0.1": "libyaml-dev",
             "libcrypto": "libssl-dev", "libmicrohttpd": "libmicrohttpd-dev", "jansson": "libjansson-dev",
             "libxxhash": "libxxhash-dev", "liblz4": "liblz4-dev", "check": "check", "zlib": "zlib1g-dev"}


@needs_configure
def test_build_configure_names_each_missing_library(tmp_path):
    """With its Debian package, as a line that can be pasted; tools/dev installs that package."""
    path = run("pkg-config", "--variable=pc_path", "pkg-config").stdout.strip().split(":")
    with open(DEV, encoding="utf-8") as f:
        packages = re.search(r"packages=\((.*?)\)", f.read(), re.S).group(1).split()
    for missing, package in LIBRARIES.items():
        where = tmp_path / "pc"
        where.mkdir()
        for directory in path:
            for name in os.listdir(directory) if os.path.isdir(directory) else []:
                if name.endswith(".pc") and name != missing + ".pc" and not (where / name).exists():
                    (where / name).symlink_to(os.path.join(directory, name))
        done = configure(tmp_path, cache=tmp_path / "cache", env={"PKG_CONFIG_LIBDIR": str(where)})
        shutil.rmtree(where)
        last = done.stderr.strip().splitlines()[-1]
        assert done.returncode != 0 and missing in last and f"apt install {package}" in last, done.stderr
        assert package in packages
    done = configure(tmp_path, "ac_cv_path_PROTOC_C=", cache=tmp_path / "cache")
    assert done.returncode != 0 and "apt install protobuf-c-compiler" in done.stderr


@needs_configure
def test_build_flags_of_the_user_are_kept(tmp_path):
    """Ours stand before the user's, so that the user's win."""
    done = configure(tmp_path, "CFLAGS=-O1 -DUSERS_OWN", "CPPFLAGS=-DUSERS_CPP", "LDFLAGS=-Wl,--as-needed")
    assert done.returncode == 0, done.stderr
    line = run("make", "-n", "V=1", "src/core/mem.o", cwd=tmp_path).stdout
    assert "-DUSERS_CPP" in line and re.search(r"-Wall .*-O1 -DUSERS_OWN", line) and "-O2" not in line
    link = run("make", "-n", "V=1", "-W", "libdynomited.a", "dyn-admin", cwd=tmp_path).stdout
    assert "-Wl,--as-needed" in link
    assert not re.search(r"-fsanitize|-Werror(?!=)", line)


# ---- make install -----------------------------------------------------------------------------

def installed(root):
    return {os.path.join(where, f)[len(str(root)):] for where, _, names in os.walk(root) for f in names}


def check_example(example):
    done = run(DYNOMITED, "-t", "-c", example)
    assert (done.returncode, done.stdout, done.stderr) == \
        (0, f"configuration file {example} syntax is ok\n", "")


@pytest.mark.skipif(not os.path.exists(os.path.join(rig.BUILD, "Makefile")), reason="not a build tree")
def test_build_install(tmp_path):
    done = run("make", "-s", "install", f"DESTDIR={tmp_path}", cwd=rig.BUILD)
    assert done.returncode == 0, done.stderr
    assert installed(tmp_path) == {
        "/usr/local/sbin/dynomited", "/usr/local/bin/dyn-admin", "/usr/local/bin/dyn-hash-tool",
        "/usr/local/etc/dynomited/dynomited.yaml.example",
        "/usr/local/lib/systemd/system/dynomited.service"}
    check_example(f"{tmp_path}/usr/local/etc/dynomited/dynomited.yaml.example")
    assert run(f"{tmp_path}/usr/local/sbin/dynomited", "-V").returncode == 0
    for tool in ("dyn-admin", "dyn-hash-tool"):
        assert run(f"{tmp_path}/usr/local/bin/{tool}", "--help").returncode == 0
    done = run("make", "-s", "uninstall", f"DESTDIR={tmp_path}", cwd=rig.BUILD)
    assert done.returncode == 0 and installed(tmp_path) == set()


@needs_configure
@pytest.mark.parametrize("prefix, etc, unit_dir, more", [
    ("/opt/dyn", "/opt/dyn/etc", "/opt/dyn/lib/systemd/system", []),
    ("/usr", "/etc", "/usr/lib/systemd/system", ["--sysconfdir=/etc"]),
    ("/usr", "/etc", "/elsewhere", ["--sysconfdir=/etc", "--with-systemdsystemunitdir=/elsewhere"])])
def test_build_install_below_a_prefix(tmp_path, prefix, etc, unit_dir, more):
    tree, root = tmp_path / "tree", tmp_path / "root"
    tree.mkdir()
    assert configure(tree, f"--prefix={prefix}", *more).returncode == 0
    done = run("make", "-s", "conf/dynomited.service", "conf/dynomited.yaml.example", "install-data",
               f"DESTDIR={root}", cwd=tree)
    assert done.returncode == 0, done.stderr
    assert installed(root) == {f"{etc}/dynomited/dynomited.yaml.example", f"{unit_dir}/dynomited.service"}
    check_example(f"{root}{etc}/dynomited/dynomited.yaml.example")
    unit = (root / unit_dir[1:] / "dynomited.service").read_text()
    assert f"ExecStart={prefix}/sbin/dynomited -c {etc}/dynomited/dynomited.yaml\n" in unit
    assert f"ConditionPathExists={etc}/dynomited/dynomited.yaml\n" in unit
    assert "@" not in unit and "${" not in unit
    if shutil.which("systemd-analyze"):
        path = tmp_path / "dynomited.service"
        path.write_text(unit.replace(f"ExecStart={prefix}/sbin/dynomited", f"ExecStart={DYNOMITED}"))
        done = run("systemd-analyze", "--man=no", "verify", str(path))
        about_it = [line for line in done.stderr.splitlines() if "dynomited.service" in line]
        assert about_it == [], about_it


# ---- tools/dev --------------------------------------------------------------------------------

@pytest.fixture
def tools(tmp_path):
    """A PATH of its own: everything but what asks or changes the package system; `add` puts scripts there."""
    where = tmp_path / "bin"
    where.mkdir()
    for directory in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for name in os.listdir(directory):
            if not name.startswith(("apt", "dpkg", "sudo")) and not (where / name).exists():
                (where / name).symlink_to(os.path.join(directory, name))

    def add(name, text):
        (where / name).unlink(missing_ok=True)
        (where / name).write_text("#!/bin/sh\n" + text + "\n")
        (where / name).chmod(0o755)
    add.calls = tmp_path / "calls"
    add.run = lambda *args: run(DEV, *args, env={"PATH": str(where)})
    return add


NOTHING = "exit 1"  # dpkg-query knows no package


def has_list(done):
    return done.returncode == 1 and "liburcu-dev" in done.stderr and "redis-server" in done.stderr


@pytest.mark.parametrize("command", ["packages", "up", "test", "demo", "build"])
def test_build_dev_not_on_debian(tools, command):
    done = tools.run(command)
    assert has_list(done) and "isn't Debian or Ubuntu" in done.stderr and done.stdout == ""


def test_build_dev_neither_root_nor_sudo(tools):
    tools("dpkg-query", NOTHING)
    tools("id", "echo 1000")
    tools("apt-get", f"echo apt-get $* >>{tools.calls}")
    done = tools.run("packages")
    assert has_list(done) and "neither root nor sudo" in done.stderr
    tools("sudo", "exit 1")  # there, but not for this user
    done = tools.run("packages")
    assert has_list(done) and "neither root nor sudo" in done.stderr and not tools.calls.exists()


def test_build_dev_installs_through_sudo(tools):
    tools("dpkg-query", NOTHING)
    tools("id", "echo 1000")
    tools("apt-get", "exit 1")
    tools("sudo", f"echo $* >>{tools.calls}; case $1 in tee) cat >/dev/null;; esac")
    done = tools.run("packages")
    assert done.returncode == 0, done.stderr
    calls = tools.calls.read_text()
    assert "apt-get update" in calls
    assert re.search(r"apt-get install -y .*--no-install-recommends build-essential .*liburcu-dev", calls)


def test_build_dev_says_when_apt_fails(tools):
    tools("dpkg-query", NOTHING)
    tools("id", "echo 1000")
    tools("apt-get", "exit 1")
    tools("sudo", 'case "$*" in *install*) exit 100;; tee*) cat >/dev/null;; esac')
    done = tools.run("packages")
    assert has_list(done) and "apt-get couldn't install" in done.stderr


def test_build_dev_needs_no_rights_when_all_is_there(tools):
    tools("dpkg-query", "echo install ok installed")
    tools("id", "echo 1000")
    tools("apt-get", f"echo apt-get $* >>{tools.calls}")
    done = tools.run("packages")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and not tools.calls.exists()


def test_build_dev_usage(tools):
    assert tools.run("--help").returncode == 0
    for words in ([], ["frobnicate"]):
        done = tools.run(*words)
        assert done.returncode == 1 and "usage: ./tools/dev" in done.stderr


# ---- the cluster to play with (tools/dev up and down) ------------------------------------------

class Playground:
    """A tree of its own, so that ./run is, with this build in it."""

    def __init__(self, where):
        self.where = where
        (where / "tests").mkdir()
        shutil.copytree(os.path.dirname(os.path.abspath(__file__)), where / "tests" / "cluster",
                        ignore=shutil.ignore_patterns("__pycache__"))
        (where / "build").symlink_to(rig.BUILD)
        self.env = {"DYN_BUILD": str(where / "build")}

    def call(self, *words):
        # to a file: a pipe would stay open as long as a node had it
        with open(self.where / "out", "w+", encoding="utf-8") as f:
            done = subprocess.run(["/usr/bin/python3", "tests/cluster/playground.py", *words], stdout=f,
                                  stderr=subprocess.STDOUT, timeout=90, check=False, cwd=self.where,
                                  env={**os.environ, **self.env}, stdin=subprocess.DEVNULL)
            f.seek(0)
            return done.returncode, f.read()

    def up(self):
        code, text = self.call("up")
        assert code == 0, text
        exported = re.search(r"(?m)^export (DYN_ADMIN_NODE)=(.*)$", text)
        self.env[exported.group(1)] = shlex.split(exported.group(2))[0]
        self.ports = [int(p) for p in re.findall(r"(?m)^node\d: clients 127.0.0.1:(\d+) ", text)]
        self.commands = [line.strip() for line in text.split("Try next:")[1].splitlines() if line.strip()]
        return text

    def shell(self, line):
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=False,
                              cwd=self.where, env={**os.environ, **self.env})
        assert done.returncode == 0, (line, done)
        return done.stdout

    def printed(self, word):
        found = [c for c in self.commands if word in c]
        assert len(found) == 1, (word, self.commands)
        return self.shell(found[0])

    def pids(self):
        return [int((self.where / "run" / f"node{i}.pid").read_text()) for i in (1, 2, 3)]

    def client(self, i):
        return rig.redis.Redis(port=self.ports[i], socket_timeout=15)

    def pending(self):
        return self.shell("./build/dyn-admin hints")


@pytest.fixture
def playground(tmp_path):
    (tmp_path / "a tree").mkdir()
    p = Playground(tmp_path / "a tree")
    yield p
    p.call("down", "--wipe")


def test_build_playground_is_the_newcomers_story(playground):
    """Every line that `up` prints, as it stands."""
    text = playground.up()
    assert len(playground.ports) == 3 and "http://" in text and "tools/dev down" in text
    assert playground.printed("set greeting").split() == ["OK", "hello"]
    assert playground.printed("dyn-admin status").count("NORMAL") == 4  # its own state, and a row for each node
    first = playground.pids()
    assert playground.up() and playground.pids() == first  # twice is harmless
    playground.printed("kill -9")
    for i in range(50):
        playground.client(i % 2).set(f"k{i}", i)
        playground.client(i % 2).incr("n")
    assert re.search(r"(?m)^ +pending +[1-9]", playground.printed("dyn-admin hints"))
    playground.up()
    assert playground.pids()[:2] == first[:2] and playground.pids()[2] != first[2]
    rig.wait_until(lambda: re.search(r"(?m)^ +pending +0$", playground.pending()), "hints are delivered", 5)
    client = playground.client(2)
    assert client.mget([f"k{i}" for i in range(50)]) == [b"%d" % i for i in range(50)]
    assert client.get("n") == b"50" and client.get("greeting") == b"hello"
    code, text = playground.call("down")
    assert code == 0 and "data stays" in text and (playground.where / "run" / "node1").is_dir()
    code, text = playground.call("down")
    assert code == 0 and "0 nodes" in text
    playground.up()
    assert playground.client(1).get("n") == b"50"
    code, text = playground.call("down", "--wipe")
    assert code == 0 and not (playground.where / "run").exists()


def test_build_playground_takes_free_ports(playground):
    """Also after a `down` that left hints: who listens elsewhere now still gets them."""
    import socket
    playground.up()
    playground.printed("kill -9")
    for i in range(20):
        playground.client(0).set(f"k{i}", i)
    assert playground.call("down")[0] == 0
    before = playground.ports
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", before[2]))
        s.listen()
        playground.up()
        assert playground.ports[2] != before[2]
        rig.wait_until(lambda: re.search(r"(?m)^ +pending +0$", playground.pending()), "hints are delivered")
        assert playground.client(2).get("k19") == b"19"


def test_build_playground_usage(playground):
    for words in ([], ["frobnicate"], ["up", "more"], ["down", "--wype"]):
        code, text = playground.call(*words)
        assert code != 0 and "usage" in text
