"""The tiny guest's two parsers, which read the YAML that people and the platform write with nothing but awk."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from infra.guests import build

AWK = ("busybox", "awk") if shutil.which("busybox") else ("awk",)  # the guest's own is busybox's


def parsed(program: str, document: str, **variables: str) -> list[str]:
    settings = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
    command = (*AWK, *settings, "-f", str(build.HERE / "tiny" / program))
    return subprocess.run(command, input=document, text=True, capture_output=True, check=True).stdout.splitlines()


NETPLAN = {
    "version": 2,
    "ethernets": {
        "eth0": {
            "match": {"macaddress": "52:54:00:AA:00:01"},
            "set-name": "eth0",
            "dhcp4": False,
            "addresses": ["203.0.113.10/32", "2001:db8:100:1::1/64"],
            "routes": [{"to": "0.0.0.0/0", "via": "172.31.1.1", "on-link": True}, {"to": "::/0", "via": "fe80::1"}],
            "nameservers": {"addresses": ["192.0.2.53", "2001:db8::53"]},
        },
        "private": {"match": {"macaddress": "52:54:00:aa:00:02"}, "mtu": 1450, "dhcp4": True},
    },
}
NETPLAN_BLOCKS = """\
network:
  version: 2  # the only one
  ethernets:
    eth0:
      match: {macaddress: "52:54:00:aa:00:01"}
      addresses:
      - 203.0.113.10/32
      - '2001:db8:100:1::1/64'
      routes:
      - to: default
        via: 172.31.1.1
        on-link: true
      - via: fe80::1
        to: ::/0
      nameservers: {search: [], addresses: [192.0.2.53, "2001:db8::53"]}
    private:
      match:
        macaddress: 52:54:00:aa:00:02
      mtu: 1450
      dhcp4: yes
"""


@pytest.mark.parametrize(
    "document",
    [json.dumps(NETPLAN), json.dumps(NETPLAN, indent=1), NETPLAN_BLOCKS],
    ids=["json", "indented", "blocks"],
)
def test_netplan_in_any_of_its_notations(document: str) -> None:
    assert parsed("netplan.awk", document) == [
        "interface eth0 52:54:00:aa:00:01 -",
        "address eth0 203.0.113.10/32",
        "address eth0 2001:db8:100:1::1/64",
        "route eth0 default 172.31.1.1",
        "route eth0 default fe80::1",
        "nameserver eth0 192.0.2.53",
        "nameserver eth0 2001:db8::53",
        "interface private 52:54:00:aa:00:02 1450",
        "dhcp private",
    ]


@pytest.mark.parametrize(
    ("items", "commands"),
    [
        ("- echo plain # a comment\n- echo a:b {x}", ["echo plain", "echo a:b {x}"]),
        ("- 'it''s'\n- \"a \\\"b\\\" \\\\ $HOME\"", ["it's", 'a "b" \\ $HOME']),
        ("- [sh, -c, \"echo 'x, y'\"]", ["'sh' '-c' 'echo '\"'\"'x, y'\"'\"''"]),
        ('- - printf\n  - "%s"\n  - two words', ["'printf' '%s' 'two words'"]),
        ("- |\n  if true; then\n\n    x   # kept\n  fi\n- y", ["if true; then", "", "  x   # kept", "fi", "y"]),
        ("- >-\n  echo folded\n  line\n- echo long\n  line", ["echo folded line", "echo long line"]),
        ("  - indented\n# not an item\n  - again", ["indented", "again"]),
    ],
)
def test_runcmd_becomes_a_script(items: str, commands: list[str]) -> None:
    document = f"#cloud-config\npackages: [a]\nruncmd:\n{items}\n\nfinal: true\n"
    assert parsed("cloud-config.awk", document, want="runcmd", shell="1") == commands


def test_runcmd_on_one_line() -> None:
    document = "#cloud-config\nruncmd: [ls, [echo, 'a, b'],\n  last]\n"
    assert parsed("cloud-config.awk", document, want="runcmd", shell="1") == ["ls", "'echo' 'a, b'", "last"]


def test_keys_are_found_wherever_they_are_listed() -> None:
    document = """\
#cloud-config
users:
  - name: root
    ssh_authorized_keys:
      - ssh-ed25519 AAAA1 one
      - "ssh-ed25519 AAAA2 two"
  - name: other
write_files:
  - content: ssh_authorized_keys are not here
ssh_authorized_keys: [ssh-rsa AAAA3 three]
"""
    keys = ["ssh-ed25519 AAAA1 one", "ssh-ed25519 AAAA2 two", "ssh-rsa AAAA3 three"]
    assert parsed("cloud-config.awk", document, want="ssh_authorized_keys") == keys
