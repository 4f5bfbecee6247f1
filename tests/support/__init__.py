"""What tests share: the real data, fakes that pass the real thing's contract, small builders."""
