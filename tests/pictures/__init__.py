"""The README's pictures: a real conversation, drawn from the payloads that mailbell really sent."""
