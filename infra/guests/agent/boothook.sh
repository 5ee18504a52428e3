#cloud-boothook
#!/bin/sh
# The Puchify agent for an image that lacks it. cloud-init runs this at every boot, early in its network stage, beside
# whatever the user's data says. Everything lies in /run: nothing stays on the disk, and snapshots do not carry it.
mkdir -p /run/puchify
cat >/run/puchify/agent <<'END_OF_AGENT'
@AGENT@
END_OF_AGENT
cat >/run/puchify/network <<'END_OF_NETWORK'
@NETWORK@
END_OF_NETWORK
if [ -d /run/systemd/system ]; then
  cat >/run/systemd/system/puchify-agent.service <<'END_OF_UNIT'
@UNIT@
END_OF_UNIT
  cat >/run/systemd/system/puchify-network.service <<'END_OF_UNIT'
@NETWORK_UNIT@
END_OF_UNIT
  systemctl start --no-block puchify-agent.service puchify-network.service
else
  setsid sh /run/puchify/agent </dev/null >/dev/null 2>&1 &
  setsid sh /run/puchify/network </dev/null >/dev/null 2>&1 &
fi
