"""A cable that loses packets: passes Ethernet frames between two network devices, each but with a chance to be lost. It takes the
place of `tc netem loss`, which many kernels are built without, and needs no more than the network namespace of the test."""

import random
import select
import socket
import struct
import threading

ETH_P_ALL = 3
SOL_PACKET, ADD_MEMBERSHIP, VNET_HEADER, IGNORE_OUTGOING, PROMISCUOUS = 263, 1, 15, 23, 1
MOST_BYTES = 1 << 17  # a frame may stand for many packets of one connection, as the kernel passes them on


def open_device(name):
    """A socket that takes every frame which arrives at the device, with the header that says what the kernel left to the hardware (sums)."""
    device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    device.setsockopt(SOL_PACKET, VNET_HEADER, 1)
    device.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
    device.bind((name, ETH_P_ALL))
    device.setsockopt(SOL_PACKET, ADD_MEMBERSHIP, struct.pack("IHH8s", socket.if_nametoindex(name), PROMISCUOUS, 0, b""))
    return device


class LossyRelay:
    """`loss`: the chance of a frame to be lost, by the name of the device where it arrives. May be changed at any time."""

    def __init__(self, one, other, seed):
        self.loss = {one: 0.0, other: 0.0}
        self.passed, self.lost = 0, 0
        self.dice = random.Random(seed)
        self.devices = {one: open_device(one), other: open_device(other)}
        self.ways = {self.devices[one]: (one, self.devices[other]), self.devices[other]: (other, self.devices[one])}
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        while not self.stopping.is_set():
            for device in select.select(list(self.ways), [], [], 0.1)[0]:
                try:
                    self.take(device)
                except OSError:  # an end is down, or its queue full: lost as well
                    self.lost += 1

    def take(self, device):
        name, other = self.ways[device]
        frame = device.recv(MOST_BYTES)
        if self.dice.random() < self.loss[name]:
            self.lost += 1
        else:
            other.send(frame)
            self.passed += 1

    def stop(self):
        self.stopping.set()
        self.thread.join()
        for device in self.devices.values():
            device.close()
