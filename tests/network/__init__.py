"""The network on the wire: real kernel, real taps, real rules; guests are network namespaces, or bare frames."""
