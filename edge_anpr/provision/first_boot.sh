#!/bin/sh
# Written by `edge-anpr provision card`. Takes what lies on the card, once; whatever ends it half-way, it begins again
# with the next start. What it took is then overwritten and deleted on the card.
set -eu
umask 077

seed=/boot/firmware
if [ ! -d "$seed/edge-anpr" ]; then
    seed=/run/edge-anpr-card
    mountpoint -q "$seed" || {
        mkdir -p "$seed"
        mount "$(blkid -L CIDATA || blkid -L cidata)" "$seed"
    }
fi
card=$seed/edge-anpr

# place MODE GROUP TO FROM...: whole or not at all
place() {
    mode=$1 group=$2 to=$3
    shift 3
    for from in "$@"; do
        [ -f "$from" ] || continue
        file=$to/${from##*/}
        install -m "$mode" -o root -g "$group" "$from" "$file.part"
        mv "$file.part" "$file"
        echo "took $file"
    done
}

if [ -d "$card" ] && [ ! -e "$card/done" ]; then
    if [ ! -e "$card/taken" ]; then
        # Plates may be in the memory of what runs here: nothing of it goes to the disk.
        systemctl mask --quiet swap.target
        swapoff -a
        systemctl restart systemd-journald
        journalctl --flush

        # Keys only, as /etc/ssh/sshd_config.d says; Raspberry Pi OS has no SSH before it is switched on.
        systemctl enable --quiet --now ssh.service
        systemctl reload ssh.service

        install -d -m 700 /etc/credstore
        place 600 root /etc/credstore "$card"/credstore/*
        if [ -d "$card/connections" ]; then
            install -d -m 700 /etc/NetworkManager/system-connections
            place 600 root /etc/NetworkManager/system-connections "$card"/connections/*
            nmcli connection reload
        fi

        # What is on the card and on the disk suffices, or Debian is asked. Without Recommends, which a card has not.
        export DEBIAN_FRONTEND=noninteractive
        get() { apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold "$@"; }
        add() { get install -y --no-install-recommends --allow-downgrades "$card"/packages/*.deb; }
        if ! add; then
            get update
            add
        fi
        place 640 edge-anpr /etc/edge-anpr "$card"/etc/*

        # A stick in a USB socket of the pole is no seed; only the card itself is.
        if [ "$seed" = /boot/firmware ]; then
            echo 'datasource: {NoCloud: {fs_label: null}}' >/etc/cloud/cloud.cfg.d/zz-edge-anpr.cfg
        fi

        systemctl daemon-reload
        systemctl enable --quiet edge-anpr.target edge-anpr-recogniser.service edge-anpr-publisher.service
        systemctl restart --no-block edge-anpr.target edge-anpr-recogniser.service edge-anpr-publisher.service
        sync
        # From here on nothing is taken from the card again: what lies there may be half overwritten.
        touch "$card/taken" || echo "<3>the card cannot be written: take it out, it holds this unit's keys"
        sync
    fi
    if [ -e "$card/taken" ]; then
        # Only the network is kept of the seed, without the Wi-Fi's key: cloud-init has brought that to the disk.
        if [ -f "$card/network-config" ]; then
            if [ -f "$seed/network-config" ]; then shred -u "$seed/network-config"; fi
            cp "$card/network-config" "$seed/network-config"
        fi
        find "$card" -type f ! -name taken ! -path "$card/network-config" ! -path "$card/packages/*" -exec shred -u {} +
        find "$card" -mindepth 1 ! -name taken -delete
        sync
        mv "$card/taken" "$card/done"
        sync
    fi
    echo "this unit has all that was on the card"
fi

if [ "$seed" != /boot/firmware ]; then umount "$seed"; fi
rm -f /etc/systemd/system/multi-user.target.d/edge-anpr-first-boot.conf
