package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"slices"
)

// colors is what a picture may have: those of a PNG with one byte a pixel.
const colors = 256

// small writes the picture with at most 256 colours: the most frequent ones, all others as the nearest of them. A page has
// few, and edges of letters in between; nobody sees the difference, and the file is a third.
func small(data []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	size := from.Bounds()
	counts := map[color.RGBA]int{}
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			counts[rgba(from, x, y)]++
		}
	}
	to := image.NewPaletted(size, palette(counts))
	index := make(map[color.RGBA]uint8, len(counts))
	for c := range counts {
		index[c] = uint8(to.Palette.Index(c)) //nolint:gosec // below 256
	}
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			to.SetColorIndex(x, y, index[rgba(from, x, y)])
		}
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to)
	return out.Bytes(), err
}

func rgba(i image.Image, x, y int) color.RGBA {
	c, ok := color.RGBAModel.Convert(i.At(x, y)).(color.RGBA)
	if !ok {
		panic("the model of RGBA makes RGBA")
	}
	return c
}

// palette is the most frequent colours; of equally frequent ones the darker first, so that equal pictures make equal files.
func palette(counts map[color.RGBA]int) color.Palette {
	all := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int {
		if d := counts[b] - counts[a]; d != 0 {
			return d
		}
		return order(a) - order(b)
	})
	var p color.Palette
	for _, c := range all[:min(len(all), colors)] {
		p = append(p, c)
	}
	return p
}

func order(c color.RGBA) int { return int(c.R)<<16 | int(c.G)<<8 | int(c.B) }
