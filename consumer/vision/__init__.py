"""Pure vision: arrays and bytes in, arrays and bytes out. No Redis, no storage, no asyncio."""
