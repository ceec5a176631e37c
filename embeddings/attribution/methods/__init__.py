"""Attribution methods on any scalar function of an input with positions: text and images alike."""
